/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who says how CloudStack is reached: the configuration, value by value, and where it is silent the
 * row that another program keeps in the store's database. The store here is a fake with one such
 * row, which a test changes as that program would; the clock is turned by hand.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/access.h"
#include "daemon/settings.h"
#include "store/access.h"
#include "store/backend.h"

#define VM_CONFIGURED "aaaaaaaa-0000-4000-8000-000000000000"
#define VM_ROW "bbbbbbbb-0000-4000-8000-000000000000"
#define ZONE_CONFIGURED "cccccccc-0000-4000-8000-000000000000"
#define ZONE_ROW "dddddddd-0000-4000-8000-000000000000"

#define LOOK_MS 5000

/* ---- a store with a row ---- */

struct row {
	enum err_code trouble; /* instead of a row */
	unsigned version;      /* the mark */
	const char *name, *url, *api_key, *secret_key, *appliance_id, *zone;
	size_t active;
};

struct fake_store {
	struct store store;
	struct row row;
	unsigned reads; /* the values, not only the mark */
};

static struct secret *secret_of(const char *text)
{
	return text ? secret_new(text, strlen(text)) : NULL;
}

static void fill(struct fake_store *fake, const char *mark, struct store_access *out)
{
	const struct row *row = &fake->row;

	if (row->trouble) {
		err_set(&out->err, row->trouble, "trouble %u with the row", row->trouble);
		return;
	}
	out->mark = xasprintf("%u", row->version);
	out->same = streq(mark, out->mark);
	if (out->same)
		return;
	fake->reads++;
	out->active = row->active;
	out->name = xstrdup(row->name);
	out->url = xstrdup(row->url);
	out->api_key = secret_of(row->api_key);
	out->secret_key = secret_of(row->secret_key);
	out->appliance_id = xstrdup(row->appliance_id);
	out->zone = xstrdup(row->zone);
}

static void read_row(struct store *store, struct store_access *out)
{
	fill(container_of(store, struct fake_store, store), NULL, out);
}

static void submit(struct store *store, struct store_item *item)
{
	struct store_look *look = store_look_of(item);

	fill(container_of(store, struct fake_store, store), look->mark, &look->access);
	store_answer_later(item);
}

static const struct store_backend with_row = { .read_access = read_row, .submit = submit };
static const struct store_backend without_row = { .submit = submit };

/* ---- the fixture ---- */

struct fixture {
	struct loop *loop;
	struct settings settings;
	struct fake_store fake;
	struct access *access;
	unsigned changes;
	char folder[40];
	char *log; /* what was logged by the last call that is watched */
};

static void on_changed(void *arg)
{
	struct fixture *f = arg;

	f->changes++;
}

static int set_up(void **state)
{
	struct fixture *f = xnew(struct fixture);

	clock_test_start(1000000, INT64_C(1795384203123));
	unsetenv("CREDENTIALS_DIRECTORY");
	snprintf(f->folder, sizeof(f->folder), "/tmp/volume-daemon-access-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	record_init(&config_record, &f->settings.config);
	f->loop = loop_new();
	store_init(&f->fake.store, &with_row, f->loop);
	f->fake.row = (struct row){ .version = 1, .name = "first", .active = 1 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = { "api", "secret", "cloudstack-api-key",
					     "cloudstack-secret-key" };
	struct fixture *f = *state;

	access_free(f->access);
	store_fini(&f->fake.store);
	loop_free(f->loop);
	config_clear(&f->settings.config);
	secret_free(f->settings.api_key);
	secret_free(f->settings.secret_key);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", f->folder, files[i]);

		unlink(path);
	}
	rmdir(f->folder);
	free(f->log);
	free(f);
	unsetenv("CREDENTIALS_DIRECTORY");
	return 0;
}

/* Standard error goes to a file between these two. */
static int watch_log(int *saved)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	*saved = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	return fd;
}

static void keep_log(struct fixture *f, int fd, int saved)
{
	char text[4096];
	ssize_t length;

	dup2(saved, STDERR_FILENO);
	close(saved);
	length = pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	assert_true(length >= 0);
	text[length] = '\0';
	str_set(&f->log, text);
}

static void assert_logged(const struct fixture *f, const char *part)
{
	if (!strstr(f->log, part))
		fail_msg("\"%s\" is not in the log:\n%s", part, f->log);
}

static void open_well(struct fixture *f)
{
	const struct access_options options = { .loop = f->loop,
						.settings = &f->settings,
						.store = &f->fake.store,
						.changed = on_changed,
						.arg = f };
	int saved, fd = watch_log(&saved);

	f->access = access_open(&options);
	keep_log(f, fd, saved);
}

static void pass_time(struct fixture *f, int64_t ms)
{
	int saved, fd = watch_log(&saved);

	clock_test_advance(ms);
	while (loop_turn(f->loop))
		;
	keep_log(f, fd, saved);
}

static void look_again(struct fixture *f)
{
	pass_time(f, LOOK_MS);
}

static void change_row(struct fixture *f, struct row row)
{
	row.version = f->fake.row.version + 1;
	f->fake.row = row;
}

static char *write_file(struct fixture *f, const char *name, const char *text, mode_t mode)
{
	char *path = xasprintf("%s/%s", f->folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static void configure_keys(struct fixture *f)
{
	f->settings.api_key = secret_of("configured-api");
	f->settings.secret_key = secret_of("configured-secret");
}

static void assert_secret(const struct secret *secret, const char *text)
{
	assert_non_null(secret);
	assert_int_equal(secret_length(secret), strlen(text));
	assert_memory_equal(secret_bytes(secret), text, strlen(text));
}

static const struct row whole_row = {
	.name = "first",
	.active = 1,
	.url = "http://row",
	.api_key = "row-api",
	.secret_key = "row-secret",
	.appliance_id = VM_ROW,
	.zone = ZONE_ROW,
};

/* ---- the configuration alone ---- */

static void a_configuration_that_says_all_is_not_added_to(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	configure_keys(f);
	f->settings.config.cloud_url = xstrdup("http://configured");
	f->settings.config.appliance_vm_id = xstrdup(VM_CONFIGURED);
	f->settings.config.cloud_zone = xstrdup(ZONE_CONFIGURED);
	f->fake.row = whole_row;
	open_well(f);
	assert_int_equal(access_check(f->access, &err), 0);
	assert_false(access_follows(f->access));
	assert_string_equal(access_url(f->access), "http://configured");
	assert_secret(access_api_key(f->access), "configured-api");
	assert_secret(access_secret_key(f->access), "configured-secret");
	assert_string_equal(access_appliance_id(f->access), VM_CONFIGURED);
	assert_string_equal(access_zone(f->access), ZONE_CONFIGURED);
	/* The table is not even looked at, now or later. */
	look_again(f);
	assert_int_equal(f->fake.reads, 0);
	assert_string_equal(f->log, "");
}

static void what_is_missing_is_named(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	f->fake.store.backend = &without_row;
	open_well(f);
	assert_false(access_follows(f->access));
	assert_int_equal(access_check(f->access, &err), -1);
	assert_string_equal(err.text, "cloud.url is not set");
	f->access = access_free(f->access);

	f->settings.config.cloud_url = xstrdup("http://configured");
	open_well(f);
	assert_int_equal(access_check(f->access, &err), -1);
	assert_string_equal(err.text,
			    "cloud.api_key_file is not set, and there is no systemd credential "
			    "cloudstack-api-key");
	f->access = access_free(f->access);

	f->settings.api_key = secret_of("configured-api");
	open_well(f);
	assert_int_equal(access_check(f->access, &err), -1);
	assert_string_equal(err.text,
			    "cloud.secret_key_file is not set, and there is no systemd credential "
			    "cloudstack-secret-key");
	assert_int_equal(err.code, ERR_INVALID);
}

/* ---- the files with keys ---- */

static void keys_can_be_credentials(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = write_file(f, "secret", "configured-secret\n", 0600);
	struct secret *key = NULL;
	struct err err = { 0 };

	free(write_file(f, "cloudstack-api-key", "credential-api\n", 0600));
	free(write_file(f, "cloudstack-secret-key", "credential-secret\n", 0600));
	setenv("CREDENTIALS_DIRECTORY", f->folder, 1);
	assert_int_equal(settings_read_key(NULL, "cloudstack-api-key", SECRET_KEY, &key, &err), 0);
	assert_secret(key, "credential-api");
	secret_free(key);
	/* A file that is named comes before the credential. */
	assert_int_equal(settings_read_key(file, "cloudstack-secret-key", SECRET_KEY, &key, &err),
			 0);
	assert_secret(key, "configured-secret");
	secret_free(key);
}

static void a_credential_need_not_be_there(void **state)
{
	struct fixture *f = *state;
	struct secret *key = NULL;
	struct err err = { 0 };

	setenv("CREDENTIALS_DIRECTORY", f->folder, 1);
	assert_int_equal(settings_read_key(NULL, "store-password", SECRET_PASSWORD, &key, &err), 0);
	assert_null(key);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = write_file(f, "api", "configured-api\n", 0644);
	struct secret *key = NULL;
	struct err err = { 0 };

	assert_int_equal(settings_read_key(file, "cloudstack-api-key", SECRET_KEY, &key, &err), -1);
	assert_null(key);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, file));
	assert_non_null(strstr(err.text, "chmod 600"));
	assert_null(strstr(err.text, "configured-api"));
}

static void a_key_file_that_is_gone_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = xasprintf("%s/none", f->folder);
	struct secret *key = NULL;
	struct err err = { 0 };

	assert_int_equal(settings_read_key(file, "cloudstack-api-key", SECRET_KEY, &key, &err), -1);
	assert_non_null(strstr(err.text, file));
}

/* ---- the row ---- */

static void the_row_says_what_the_configuration_does_not(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	f->fake.row = whole_row;
	open_well(f);
	assert_true(access_follows(f->access));
	assert_int_equal(access_check(f->access, &err), 0);
	assert_string_equal(access_url(f->access), "http://row");
	assert_secret(access_api_key(f->access), "row-api");
	assert_secret(access_secret_key(f->access), "row-secret");
	assert_string_equal(access_appliance_id(f->access), VM_ROW);
	assert_string_equal(access_zone(f->access), ZONE_ROW);
	assert_logged(
		f,
		"taken from row \"first\" of table ossea_configs: api_url, api_key, secret_key, oma_vm_id, "
		"zone");
	/* The caller asks after the start; changed() is for what comes later. */
	assert_int_equal(f->changes, 0);
}

static void but_nothing_that_it_does(void **state)
{
	struct fixture *f = *state;

	configure_keys(f);
	f->settings.config.appliance_vm_id = xstrdup(VM_CONFIGURED);
	f->fake.row = whole_row;
	open_well(f);
	assert_true(access_follows(f->access));
	assert_string_equal(access_url(f->access), "http://row");
	assert_secret(access_api_key(f->access), "configured-api");
	assert_secret(access_secret_key(f->access), "configured-secret");
	assert_string_equal(access_appliance_id(f->access), VM_CONFIGURED);
	assert_string_equal(access_zone(f->access), ZONE_ROW);
	assert_logged(f, "taken from row \"first\" of table ossea_configs: api_url, zone\n");
}

/* A daemon that lacks nothing but a zone does not depend on the row, and takes the zone from it all
 * the same. */
static void the_zone_alone_is_no_reason_to_wait_for_the_row(void **state)
{
	struct fixture *f = *state;

	configure_keys(f);
	f->settings.config.cloud_url = xstrdup("http://configured");
	f->settings.config.appliance_vm_id = xstrdup(VM_CONFIGURED);
	f->fake.row = whole_row;
	open_well(f);
	assert_false(access_follows(f->access));
	assert_string_equal(access_zone(f->access), ZONE_ROW);
	change_row(f, (struct row){ .name = "second", .active = 1 });
	look_again(f);
	assert_int_equal(f->changes, 1);
	assert_null(access_zone(f->access));
}

/* A daemon that can ask CloudStack, but does not know which machine this is, cannot name a
 * device. */
static void the_id_of_this_machine_is(void **state)
{
	struct fixture *f = *state;

	configure_keys(f);
	f->settings.config.cloud_url = xstrdup("http://configured");
	f->settings.config.cloud_zone = xstrdup(ZONE_CONFIGURED);
	f->fake.row = whole_row;
	open_well(f);
	assert_true(access_follows(f->access));
	assert_string_equal(access_appliance_id(f->access), VM_ROW);
}

static void what_neither_says_is_told(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	f->fake.row.url = "http://row";
	open_well(f);
	assert_int_equal(access_check(f->access, &err), -1);
	assert_string_equal(
		err.text, "cloud.api_key_file is not set, and there is no systemd credential "
			  "cloudstack-api-key, nor is it in an active row of table ossea_configs");
	assert_logged(
		f,
		"neither the configuration nor row \"first\" of table ossea_configs has: api_key, "
		"secret_key, oma_vm_id");
}

static void the_row_is_followed(void **state)
{
	struct fixture *f = *state;
	struct row row = whole_row;

	f->fake.row = whole_row;
	open_well(f);
	look_again(f);
	look_again(f);
	/* It was asked for, but not read again. */
	assert_int_equal(f->fake.reads, 1);
	assert_int_equal(f->changes, 0);
	row.api_key = "other-api";
	change_row(f, row);
	look_again(f);
	assert_int_equal(f->changes, 1);
	assert_secret(access_api_key(f->access), "other-api");
	look_again(f);
	assert_int_equal(f->changes, 1);
}

static void it_is_looked_at_in_its_time(void **state)
{
	struct fixture *f = *state;

	open_well(f);
	change_row(f, whole_row);
	pass_time(f, LOOK_MS - 1);
	assert_int_equal(f->changes, 0);
	pass_time(f, 1);
	assert_int_equal(f->changes, 1);
}

static void several_active_rows_are_a_warning(void **state)
{
	struct fixture *f = *state;

	f->fake.row = whole_row;
	f->fake.row.active = 3;
	open_well(f);
	assert_logged(
		f, "<4>3 rows of table ossea_configs are active; \"first\", changed last, counts");
}

static void an_id_that_is_none_is_not_used(void **state)
{
	struct fixture *f = *state;

	f->fake.row = whole_row;
	f->fake.row.appliance_id = "appliance 7";
	f->fake.row.zone = "zone\nof the north";
	open_well(f);
	assert_null(access_appliance_id(f->access));
	assert_null(access_zone(f->access));
	assert_string_equal(access_url(f->access), "http://row");
	assert_logged(f, "oma_vm_id in table ossea_configs is no UUID and is not used");
	assert_logged(
		f,
		"zone in table ossea_configs is too long, or has control characters, and is not used");
}

/* ---- a row that cannot be read ---- */

static void trouble_with_the_row_does_not_end_the_start(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	f->fake.row.trouble = ERR_NOT_FOUND;
	open_well(f);
	assert_true(access_follows(f->access));
	assert_int_equal(access_check(f->access, &err), -1);
	assert_logged(f, "<5>trouble");
	change_row(f, whole_row);
	look_again(f);
	assert_int_equal(f->changes, 1);
	assert_int_equal(access_check(f->access, &err), 0);
}

static void what_was_read_before_stays_in_use(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };

	f->fake.row = whole_row;
	open_well(f);
	f->fake.row.trouble = ERR_FORBIDDEN;
	look_again(f);
	assert_int_equal(f->changes, 0);
	assert_int_equal(access_check(f->access, &err), 0);
	assert_secret(access_secret_key(f->access), "row-secret");
	assert_logged(f, "<4>trouble");
	assert_logged(f, "the values read before stay in use");
}

static void trouble_is_told_once(void **state)
{
	struct fixture *f = *state;

	f->fake.row = whole_row;
	open_well(f);
	f->fake.row.trouble = ERR_FORBIDDEN;
	look_again(f);
	assert_logged(f, "trouble");
	look_again(f);
	assert_string_equal(f->log, "");
	f->fake.row.trouble = ERR_INVALID;
	look_again(f);
	assert_logged(f, "trouble");
	/* When it was well in between it is news again. */
	f->fake.row.trouble = ERR_NONE;
	look_again(f);
	f->fake.row.trouble = ERR_INVALID;
	look_again(f);
	assert_logged(f, "trouble");
}

static void a_store_that_is_away_says_so_itself(void **state)
{
	struct fixture *f = *state;

	f->fake.row = whole_row;
	open_well(f);
	f->fake.row.trouble = ERR_UNAVAILABLE;
	look_again(f);
	assert_string_equal(f->log, "");
	assert_string_equal(access_url(f->access), "http://row");
}

/* A reload takes the address out of the configuration, or puts it in. */
static void other_settings_change_what_the_row_is_read_for(void **state)
{
	struct fixture *f = *state;

	configure_keys(f);
	str_set(&f->settings.config.cloud_url, "http://configured");
	str_set(&f->settings.config.appliance_vm_id, VM_CONFIGURED);
	str_set(&f->settings.config.cloud_zone, ZONE_CONFIGURED);
	f->fake.row = whole_row;
	open_well(f);
	str_set(&f->settings.config.cloud_url, NULL);
	access_note_settings(f->access);
	pass_time(f, 0);
	assert_true(access_follows(f->access));
	assert_int_equal(f->changes, 1);
	assert_string_equal(access_url(f->access), "http://row");
	str_set(&f->settings.config.cloud_url, "http://configured");
	access_note_settings(f->access);
	assert_false(access_follows(f->access));
	assert_string_equal(access_url(f->access), "http://configured");
	f->fake.row.version++;
	look_again(f);
	assert_int_equal(f->fake.reads, 1);
}

static void secrets_are_not_logged(void **state)
{
	struct fixture *f = *state;

	configure_keys(f);
	f->fake.row = whole_row;
	log_set_level(LOG_LEVEL_DEBUG);
	open_well(f);
	assert_null(strstr(f->log, "row-api"));
	assert_null(strstr(f->log, "row-secret"));
	assert_null(strstr(f->log, "configured-"));
	f->fake.row.api_key = "other-api";
	change_row(f, f->fake.row);
	look_again(f);
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(f->changes, 1);
	assert_null(strstr(f->log, "other-api"));
}

/* A name that would play tricks with a terminal or the log is left out. */
static void a_strange_name_is_not_shown(void **state)
{
	struct fixture *f = *state;

	f->fake.row = whole_row;
	f->fake.row.name = "first\n<0>nonsense";
	open_well(f);
	assert_null(strstr(f->log, "nonsense"));
	assert_logged(f, "taken from row \"\" of table ossea_configs");
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_configuration_that_says_all_is_not_added_to),
		T(what_is_missing_is_named),
		T(keys_can_be_credentials),
		T(a_credential_need_not_be_there),
		T(a_key_that_others_may_read_is_refused),
		T(a_key_file_that_is_gone_is_refused),
		T(the_row_says_what_the_configuration_does_not),
		T(but_nothing_that_it_does),
		T(the_zone_alone_is_no_reason_to_wait_for_the_row),
		T(the_id_of_this_machine_is),
		T(what_neither_says_is_told),
		T(the_row_is_followed),
		T(it_is_looked_at_in_its_time),
		T(several_active_rows_are_a_warning),
		T(an_id_that_is_none_is_not_used),
		T(trouble_with_the_row_does_not_end_the_start),
		T(what_was_read_before_stays_in_use),
		T(trouble_is_told_once),
		T(a_store_that_is_away_says_so_itself),
		T(other_settings_change_what_the_row_is_read_for),
		T(secrets_are_not_logged),
		T(a_strange_name_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
