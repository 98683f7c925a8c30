/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Configuration files. A file that is accepted is written again, key by key, and read as the same;
 * a file that is refused is refused with its path and line, in words for people.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "fuzz.h"

static char path[32];
static int file = -1;

static int read_text(struct config *config, const char *text, size_t length, struct err *err)
{
	if (file < 0) {
		file = memfd_create("configuration", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	MUST(ftruncate(file, 0) == 0 && pwrite(file, text, length, 0) == (ssize_t)length);
	return config_read(config, path, true, NULL, err);
}

static char *write_text(const struct config *config)
{
	struct buf out = BUF_NULL;

	for (size_t i = 0; i < config_record.count; i++) {
		const struct field *field = &config_record.fields[i];
		int section = (int)strcspn(field->name, "_");

		if (!field_is_set(field, config) && !field->fallback)
			continue;
		/* Without a blank, behind which a ';' would begin a comment. */
		buf_printf(&out, "[%.*s]\n%s=", section, field->name, field->name + section + 1);
		field_to_text(field, config, &out);
		buf_add_char(&out, '\n');
	}
	return buf_take(&out);
}

static void check_error(const struct err *err)
{
	must_be_sound(err);
	MUST(err->code == ERR_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { 0 }, again = { 0 };
	_cleanup_free_ char *once = NULL, *twice = NULL;
	struct err err = { 0 };

	if (read_text(&config, (const char *)data, size, &err) < 0) {
		check_error(&err);
	} else {
		once = write_text(&config);
		read_text(&again, once, strlen(once), &err);
		must_equal(err.text, "");
		twice = write_text(&again);
		must_equal(once, twice);
	}
	config_clear(&config);
	config_clear(&again);
	return 0;
}
