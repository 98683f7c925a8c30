/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which key files are accepted, what is read from them, and that the pages are kept out of core
 * dumps. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/secret.h"

static char folder[] = "/tmp/test-secret-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	snprintf(path, sizeof(path), "%s/key", mkdtemp(folder));
	return 0;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

static struct secret *read_kind(const char *text, size_t length, mode_t mode, enum secret_kind kind,
				struct err *err)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	struct secret *secret;

	memset(err, 0, sizeof(*err));
	assert_int_equal(write(fd, text, length), (ssize_t)length);
	fchmod(fd, mode);
	close(fd);
	secret = secret_read(path, kind, err);
	unlink(path);
	return secret;
}

static struct secret *read_written(const char *text, size_t length, mode_t mode, struct err *err)
{
	return read_kind(text, length, mode, SECRET_PASSWORD, err);
}

static void first_line_without_its_end(void **state)
{
	static const struct {
		const char *file, *secret;
	} rows[] = {
		{ "key", "key" },
		{ "key\n", "key" },
		{ "key\r\n", "key" },
		{ "key\nmore\n", "key" },
		{ "k e y\n", "k e y" },
		{ "key\n\n", "key" },
		{ "\xef\xbb\xbfkey\n", "key" },
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct secret *secret =
			read_written(rows[i].file, strlen(rows[i].file), 0600, &err);

		assert_non_null(secret);
		assert_string_equal(secret_bytes(secret), rows[i].secret);
		assert_int_equal(secret_length(secret), strlen(rows[i].secret));
		/* Nothing of the other lines may stay in memory. */
		assert_null(memmem(secret_bytes(secret), 64, "more", 4));
		assert_null(secret_free(secret));
	}
	assert_null(secret_free(NULL));
}

static void blanks_around_a_key_are_removed(void **state)
{
	static const char *const files[] = {
		" key\n",
		"key \t\n",
		"\tkey\r\n",
		"key \r\n",
		"\xef\xbb\xbf key\n",
		"key\xc2\xa0\n",
		"\xe2\x80\x8bkey\xef\xbb\xbf",
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct secret *key = read_kind(files[i], strlen(files[i]), 0600, SECRET_KEY, &err);

		assert_non_null(key);
		assert_string_equal(secret_bytes(key), "key");
		assert_int_equal(secret_length(key), 3);
		secret_free(key);
	}
}

static void assert_refused(const char *file, enum secret_kind kind, const char *words)
{
	_cleanup_free_ char *place = xasprintf("%s:1: ", path);
	struct err err;

	assert_null(read_kind(file, strlen(file), 0600, kind, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_true(str_has_prefix(err.text, place));
	assert_non_null(strstr(err.text, words));
	assert_null(strstr(err.text, "sesame"));
}

static void blanks_that_may_belong_to_a_secret_are_refused(void **state)
{
	assert_refused("sesame sesame\n", SECRET_KEY, "character 7 of the key is a blank");
	assert_refused("ses\xc3\xa4sesame\n", SECRET_KEY, "character 4 of the key is no letter");
	assert_refused(" sesame\n", SECRET_PASSWORD, "a blank at its beginning");
	assert_refused("sesame\t\n", SECRET_PASSWORD, "a blank at its end");
	assert_refused("sesame\xc2\xa0\n", SECRET_PASSWORD, "a blank at its end");
	assert_refused(" \t\nsesame\n", SECRET_KEY, "the line is empty");
}

static void empty_and_endless_are_refused(void **state)
{
	static char big[5000];
	struct err err;

	assert_null(read_written("", 0, 0600, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(read_written("\nkey\n", 5, 0600, &err));
	memset(big, 'k', sizeof(big));
	assert_null(read_written(big, sizeof(big), 0600, &err));
	assert_non_null(strstr(err.text, "too long"));
	assert_null(secret_read("/nonexistent/key", SECRET_KEY, &err));
	assert_non_null(strstr(err.text, "/nonexistent/key"));
	assert_null(secret_read("/tmp", SECRET_KEY, &err));
	assert_null(secret_read("/nonexistent/key", SECRET_KEY, NULL));
}

static void full_size_fits(void **state)
{
	static char big[4096];
	struct err err;
	struct secret *secret;

	memset(big, 'k', sizeof(big));
	secret = read_written(big, sizeof(big), 0600, &err);
	assert_non_null(secret);
	assert_int_equal(secret_length(secret), sizeof(big));
	assert_int_equal(secret_bytes(secret)[sizeof(big)], 0);
	secret_free(secret);
}

static void files_open_to_others_are_refused(void **state)
{
	static const mode_t modes[] = { 0644, 0640, 0604, 0602, 0620, 0660, 0440 };
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_null(read_written("key\n", 4, modes[i], &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "chmod 600"));
		assert_null(strstr(err.text, "key\n"));
	}
}

static void systemd_credentials_are_accepted(void **state)
{
	struct secret *secret;
	struct err err;
	char other[80];

	if (geteuid() != 0)
		skip();
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	secret = read_written("key", 3, 0440, &err);
	assert_non_null(secret);
	secret_free(secret);
	/* Still not: for everybody, for the group to write, in another place. */
	assert_null(read_written("key", 3, 0444, &err));
	assert_null(read_written("key", 3, 0460, &err));
	snprintf(other, sizeof(other), "%s-other", folder);
	setenv("CREDENTIALS_DIRECTORY", other, 1);
	assert_null(read_written("key", 3, 0440, &err));
	other[strlen(folder) - 1] = '\0'; /* a prefix of the name is not the folder */
	setenv("CREDENTIALS_DIRECTORY", other, 1);
	assert_null(read_written("key", 3, 0440, &err));
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* The flags of the mapping that holds address, from the kernel. */
static bool mapping_has_flag(const void *address, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool inside = false, found = false;
	char line[512];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		if (inside && str_has_prefix(line, "VmFlags:") && strstr(line, flag))
			found = true;
	}
	fclose(maps);
	return found;
}

static void pages_stay_out_of_core_dumps(void **state)
{
	struct secret *secret = secret_new("bytes\0with zero", 15);

	assert_int_equal(secret_length(secret), 15);
	assert_memory_equal(secret_bytes(secret), "bytes\0with zero", 16);
	assert_true(mapping_has_flag(secret_bytes(secret), " dd"));
	secret_free(secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_line_without_its_end),
		cmocka_unit_test(blanks_around_a_key_are_removed),
		cmocka_unit_test(blanks_that_may_belong_to_a_secret_are_refused),
		cmocka_unit_test(empty_and_endless_are_refused),
		cmocka_unit_test(full_size_fits),
		cmocka_unit_test(files_open_to_others_are_refused),
		cmocka_unit_test(systemd_credentials_are_accepted),
		cmocka_unit_test(pages_stay_out_of_core_dumps),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
