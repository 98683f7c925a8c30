/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The configuration file as an administrator meets it: which value a key has when the file says
 * nothing, which values it takes, and that each mistake is answered with the file, the line, the
 * key and what would be right. Files hold secrets now and then, in the wrong place, so no message
 * repeats a line that could not be understood.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/log.h"
#include "config/config.h"
#include "spec/names.h"

struct fixture {
	char path[64];
	struct config config;
	struct config_source source;
	struct err err;
};

static int set_up(void **state)
{
	struct fixture *f = xnew(struct fixture);
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/volume-daemon-config-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	config_clear(&f->config);
	config_source_clear(&f->source);
	unlink(f->path);
	free(f);
	return 0;
}

static int read_bytes(struct fixture *f, const char *bytes, size_t length)
{
	FILE *file = fopen(f->path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	f->err = (struct err){ 0 };
	config_clear(&f->config);
	return config_read(&f->config, f->path, true, &f->source, &f->err);
}

static int read_text(struct fixture *f, const char *text)
{
	return read_bytes(f, text, strlen(text));
}

static void assert_accepted(struct fixture *f, const char *text)
{
	if (read_text(f, text) < 0)
		fail_msg("%s: %s", text, f->err.text);
}

/* The error is the file's name, ":", and `rest`. */
static void assert_refused(struct fixture *f, const char *text, const char *rest)
{
	_cleanup_free_ char *expected = xasprintf("%s:%s", f->path, rest);

	if (read_text(f, text) == 0)
		fail_msg("accepted: %s", text);
	assert_int_equal(f->err.code, ERR_INVALID);
	assert_string_equal(f->err.text, expected);
}

static const char *value_of(const struct config *config, const char *name, struct buf *out)
{
	const struct field *field = record_find(&config_record, name);

	assert_non_null(field);
	buf_reset(out);
	field_to_text(field, config, out);
	return str_or(out->data, "");
}

/* ---- defaults ---- */

static const char *const defaults[][2] = {
	{ "http_listen", "127.0.0.1:8090 [::1]:8090" },
	{ "http_tls_dir", "" },
	{ "http_group", "volume-daemon" },
	{ "http_loopback_access", "admin" },
	{ "http_require_token", "no" },
	{ "http_max_requests", "256" },
	{ "http_caller_requests", "200" },
	{ "http_caller_connections", "64" },
	{ "http_anonymous_requests", "2000" },
	{ "http_anonymous_connections", "1024" },
	{ "cloud_url", "" },
	{ "cloud_api_key_file", "" },
	{ "cloud_secret_key_file", "" },
	{ "cloud_ca_file", "" },
	{ "cloud_timeout", "30s" },
	{ "cloud_poll_min", "500ms" },
	{ "cloud_poll_max", "5s" },
	{ "cloud_job_wait", "35min" },
	{ "cloud_parallel", "16" },
	{ "cloud_zone", "" },
	{ "cloud_project_id", "" },
	{ "appliance_vm_id", "" },
	{ "device_buses", "virtio scsi" },
	{ "device_scan_interval", "2s" },
	{ "device_wait", "2min" },
	{ "device_probe_timeout", "30s" },
	{ "device_stable_names", "yes" },
	{ "device_hold_seconds", "60" },
	{ "device_sysfs_root", "/sys" },
	{ "device_dev_root", "/dev" },
	{ "export_engine", "qemu-storage-daemon" },
	{ "export_listen", "127.0.0.1:10809" },
	{ "export_tls_dir", "" },
	{ "export_qmp_socket", "" },
	{ "export_run_dir", "/run/volume-daemon/export" },
	{ "store_url", "sqlite:///var/lib/volume-daemon/volume-daemon.db" },
	{ "store_password_file", "" },
	{ "store_retention", "0s" },
	{ "reconcile_interval", "1min" },
	{ "operations_max", "10000" },
	{ "operations_max_per_caller", "1000" },
	{ "operations_allow_vm_expunge", "no" },
	{ "log_level", "info" },
};

static void assert_defaults(const struct config *config)
{
	_cleanup_buf_ struct buf value = BUF_NULL;

	assert_int_equal(ARRAY_SIZE(defaults), config_record.count);
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		assert_string_equal(value_of(config, defaults[i][0], &value), defaults[i][1]);
}

static void every_key_has_its_default(void **state)
{
	struct fixture *f = *state;

	assert_accepted(f, "");
	assert_defaults(&f->config);
}

static void a_file_need_not_be_there(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	assert_int_equal(config_read(&f->config, f->path, false, &f->source, &f->err), 0);
	assert_defaults(&f->config);
}

static void but_one_that_was_named_must(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *expected = xasprintf("%s: No such file or directory", f->path);

	unlink(f->path);
	assert_int_equal(config_read(&f->config, f->path, true, &f->source, &f->err), -1);
	assert_int_equal(f->err.code, ERR_INVALID);
	assert_string_equal(f->err.text, expected);
}

/* A file can be read again into the same struct, and what it no longer says is at its default
 * again. */
static void a_second_file_replaces_the_first(void **state)
{
	struct fixture *f = *state;

	assert_accepted(f, "[http]\nlisten = 127.0.0.1:1\n[cloud]\nparallel = 3\nurl = http://c\n");
	assert_string_equal(f->config.http_listen, "127.0.0.1:1");
	assert_int_equal(f->config.cloud_parallel, 3);
	assert_accepted(f, "");
	assert_defaults(&f->config);
}

/* ---- the sample ---- */

/* "#key = value" becomes "key = value" where the sample shows a default; what stays open stays a
 * comment. */
static char *uncomment(const char *sample)
{
	struct buf out = BUF_NULL;

	for (const char *line = sample; *line;) {
		size_t length = strcspn(line, "\n");
		bool key = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z' &&
			   line[length - 1] != '=';

		buf_add(&out, line + key, length - key);
		buf_add_char(&out, '\n');
		line += length + (line[length] == '\n');
	}
	return buf_take(&out);
}

static void the_sample_says_the_defaults(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf sample = BUF_NULL;
	_cleanup_free_ char *all = NULL;

	config_sample(&sample);
	assert_accepted(f, sample.data);
	assert_defaults(&f->config);
	all = uncomment(sample.data);
	assert_non_null(strstr(all, "\nengine = qemu-storage-daemon\n"));
	assert_accepted(f, all);
	assert_defaults(&f->config);
}

static void the_sample_shows_every_key(void **state)
{
	_cleanup_buf_ struct buf sample = BUF_NULL;
	const char *place;

	config_sample(&sample);
	place = sample.data;
	for (size_t i = 0; i < config_record.count; i++) {
		const char *name = config_record.fields[i].name;
		int length = (int)(strchr(name, '_') - name);
		_cleanup_free_ char *section = xasprintf("\n[%.*s]\n", length, name);
		_cleanup_free_ char *key = xasprintf("\n#%s =", name + length + 1);

		assert_non_null(strstr(sample.data, section));
		place = strstr(place, key);
		if (!place)
			fail_msg("%s is not in the sample, or not in its place", name);
	}
}

/* ---- values ---- */

static void values_of_every_kind_are_read(void **state)
{
	struct fixture *f = *state;

	assert_accepted(f, "# a comment\n"
			   "[http]\n"
			   "listen = [::1]:0\n"
			   "\n"
			   "[cloud]\n"
			   "url = https://cloud.example.org/client/api\n"
			   "timeout = 1500ms\n"
			   "zone = the north\n"
			   "[device]\n"
			   "buses = scsi, loop\n"
			   "stable_names = no\n"
			   "hold_seconds = 7\n"
			   "[export]\n"
			   "engine = none\n"
			   "[store]\n"
			   "retention = 90d\n"
			   "[log]\n"
			   "level = debug\n");
	assert_string_equal(f->config.http_listen, "[::1]:0");
	assert_string_equal(f->config.cloud_url, "https://cloud.example.org/client/api");
	assert_int_equal(f->config.cloud_timeout, 1500);
	assert_string_equal(f->config.cloud_zone, "the north");
	assert_string_equal(f->config.device_buses, "scsi, loop");
	assert_false(f->config.device_stable_names);
	assert_int_equal(f->config.device_hold_seconds, 7);
	assert_int_equal(f->config.export_engine, EXPORT_ENGINE_NONE);
	assert_int_equal(f->config.store_retention, INT64_C(90) * 24 * 3600 * 1000);
	assert_string_equal(f->config.log_level, "debug");
}

static void durations_take_units(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "100ms", 100 },
		{ "2s", 2000 },
		{ "3min", 180000 },
		{ "1h", 3600000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = xasprintf("[device]\nwait = %s\n", rows[i].text);

		assert_accepted(f, text);
		assert_int_equal(f->config.device_wait, rows[i].ms);
	}
}

/* The least and the most of each number, and the values next to them. */
static const struct {
	const char *section, *key, *below, *least, *most, *above;
	const char *more; /* another line the section needs */
} limits[] = {
	{ "http", "max_requests", "0", "1", "10000", "10001", "" },
	{ "http", "caller_requests", "0", "1", "1000000", "1000001", "" },
	{ "http", "caller_connections", "0", "1", "100000", "100001", "" },
	{ "http", "anonymous_requests", "0", "1", "1000000", "1000001", "" },
	{ "http", "anonymous_connections", "0", "1", "100000", "100001", "" },
	{ "cloud", "timeout", "99ms", "100ms", "10min", "600001ms", "" },
	{ "cloud", "poll_min", "9ms", "10ms", "1min", "60001ms", "poll_max = 10min" },
	{ "cloud", "poll_max", "9ms", "10ms", "10min", "600001ms", "poll_min = 10ms" },
	{ "cloud", "job_wait", "999ms", "1s", "2d", "172800001ms", "" },
	{ "cloud", "parallel", "0", "1", "256", "257", "" },
	{ "device", "scan_interval", "9ms", "10ms", "10min", "600001ms", "" },
	{ "device", "wait", "99ms", "100ms", "1h", "3600001ms", "" },
	{ "device", "probe_timeout", "99ms", "100ms", "1h", "3600001ms", "" },
	{ "device", "hold_seconds", "0", "1", "3600", "3601", "" },
	{ "store", "retention", "23h", "1d", "3650d", "3651d", "" },
	{ "reconcile", "interval", "999ms", "1s", "1d", "86400001ms", "" },
	{ "operations", "max", "0", "1", "1000000", "1000001", "" },
	{ "operations", "max_per_caller", "0", "1", "1000000", "1000001", "" },
};

static void numbers_have_limits(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *values[] = { limits[i].below, limits[i].least, limits[i].most,
					 limits[i].above };
		_cleanup_free_ char *name =
			xasprintf("%s.%s must ", limits[i].section, limits[i].key);

		for (size_t n = 0; n < ARRAY_SIZE(values); n++) {
			_cleanup_free_ char *text =
				xasprintf("[%s]\n%s\n%s = %s\n", limits[i].section, limits[i].more,
					  limits[i].key, values[n]);

			if (n == 1 || n == 2) {
				assert_accepted(f, text);
				continue;
			}
			if (read_text(f, text) == 0)
				fail_msg("accepted: %s", text);
			assert_int_equal(f->err.code, ERR_INVALID);
			if (!strstr(f->err.text, name))
				fail_msg("%s: %s", text, f->err.text);
		}
	}
}

static void every_number_is_among_them(void **state)
{
	size_t numbers = 0;

	for (size_t i = 0; i < config_record.count; i++)
		numbers += config_record.fields[i].type == FIELD_INT ||
			   config_record.fields[i].type == FIELD_DURATION;
	assert_int_equal(numbers, ARRAY_SIZE(limits));
}

static void texts_have_limits(void **state)
{
	struct fixture *f = *state;
	char path[102];
	_cleanup_free_ char *text = NULL;

	assert_refused(f, "[http]\nlisten =\n", "2: http.listen must not be empty");
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	text = xasprintf("[export]\nqmp_socket = %s\n", path);
	assert_int_equal(read_text(f, text), -1);
	assert_non_null(strstr(f->err.text, ":2: export.qmp_socket "));
	assert_non_null(strstr(f->err.text, "100"));
	path[sizeof(path) - 2] = '\0';
	free(text);
	text = xasprintf("[export]\nqmp_socket = %s\n", path);
	assert_accepted(f, text);
}

static void a_value_of_the_wrong_kind_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(
		f, "[cloud]\n\ntimeout = soon\n",
		"3: cloud.timeout must be a duration such as 2s, 250ms or 5min, got \"soon\"");
	assert_refused(f, "[http]\nmax_requests = 2s\n",
		       "2: http.max_requests must be a whole number, got \"2s\"");
	assert_refused(f, "[device]\nstable_names = perhaps\n",
		       "2: device.stable_names must be yes or no, got \"perhaps\"");
	assert_refused(
		f, "[export]\nengine = samba\n",
		"2: export.engine must be one of none, qemu-storage-daemon, nbdkit; got \"samba\"");
	assert_refused(
		f, "[log]\nlevel = loud\n",
		"2: log.level: there is no level \"loud\"; there are: error, warning, notice, info, debug");
	assert_refused(
		f, "[appliance]\nvm_id = 17\n",
		"2: appliance.vm_id must be a UUID such as 0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a11, got \"17\"");
}

static void a_project_is_one_or_all(void **state)
{
	struct fixture *f = *state;

	assert_accepted(f, "[cloud]\nproject_id = all\n");
	assert_string_equal(f->config.cloud_project_id, CONFIG_ALL_PROJECTS);
	assert_accepted(f, "[cloud]\nproject_id = 0A1B2C3D-0000-4000-8000-00000000000F\n");
	assert_string_equal(f->config.cloud_project_id, "0A1B2C3D-0000-4000-8000-00000000000F");
	assert_refused(f, "[cloud]\nproject_id = -1\n",
		       "2: cloud.project_id must be a project's UUID or the word all, got \"-1\"");
}

/* ---- lines ---- */

static void an_unknown_key_is_told_with_those_there_are(void **state)
{
	struct fixture *f = *state;

	assert_refused(
		f, "[store]\nurl = memory:\npasword_file = /x\n",
		"3: [store] has no key \"pasword_file\"; it has: url, password_file, retention");
	/* The name of a member is no key. */
	assert_refused(
		f, "[cloud]\ncloud_url = http://x\n",
		"2: [cloud] has no key \"cloud_url\"; it has: url, api_key_file, secret_key_file, ca_file, "
		"timeout, poll_min, poll_max, job_wait, parallel, zone, project_id");
}

#define SECTIONS "http, cloud, appliance, device, export, store, reconcile, operations, log"

static void an_unknown_section_is_told_with_those_there_are(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[clouds]\nurl = http://x\n",
		       "2: there is no section [clouds]; there are: " SECTIONS);
	assert_refused(f, "url = http://x\n",
		       "1: url stands above the first [section]; there are: " SECTIONS);
}

static void a_key_counts_once(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[cloud]\nparallel = 2\n[log]\nlevel = info\n[cloud]\nparallel = 3\n",
		       "6: cloud.parallel is given twice");
	/* A section may come twice. */
	assert_accepted(f, "[cloud]\nparallel = 2\n[log]\nlevel = info\n[cloud]\ntimeout = 3s\n");
	assert_int_equal(f->config.cloud_parallel, 2);
	assert_int_equal(f->config.cloud_timeout, 3000);
}

static void the_first_bad_line_is_the_one_that_is_told(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[cloud]\ntimeout = 1s\nparallel = none\nnonsense\ntimeout = 2s\n",
		       "3: cloud.parallel must be a whole number, got \"none\"");
	assert_refused(f, "[cloud]\nnonsense\nparallel = none\n",
		       "2: this is neither [section] nor key = value");
	assert_refused(f, "[cloud\nparallel = 2\n", "1: this is neither [section] nor key = value");
}

static void a_line_that_would_be_cut_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf text = BUF_NULL;

	buf_add_text(&text, "[store]\nurl = sqlite:///");
	for (size_t i = 0; i < 300; i++)
		buf_add_char(&text, 'x');
	assert_int_equal(read_text(f, text.data), -1);
	assert_non_null(strstr(f->err.text, ":2: the line is longer than "));
	assert_null(strstr(f->err.text, "xxx"));
}

/* A text would end there, and so would the configuration, without a word. */
static void a_nul_is_refused(void **state)
{
	static const char bytes[] = "[http]\nmax_requests = 7\n\0[store]\nurl = memory:\n";
	struct fixture *f = *state;

	assert_int_equal(read_bytes(f, bytes, sizeof(bytes) - 1), -1);
	assert_non_null(strstr(f->err.text, ":3: the line has a NUL character"));
	/* At the end of the file, too. */
	assert_int_equal(read_bytes(f, bytes, strlen(bytes) + 1), -1);
	assert_non_null(strstr(f->err.text, ":3: the line has a NUL character"));
}

static void a_file_that_is_too_large_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf text = BUF_NULL;

	while (text.length <= 64 * 1024)
		buf_add_text(&text, "# filler\n");
	assert_int_equal(read_text(f, text.data), -1);
	assert_true(str_has_prefix(f->err.text, f->path));
}

/* Whoever puts a key where its file should be named, or types a line wrong, must not find it in the
 * log. */
static void secrets_are_not_repeated(void **state)
{
	static const char *const texts[] = {
		"[cloud]\napi_key = geheim\n",
		"[cloud]\nsecret_key = geheim\n",
		"[store]\npassword = geheim\n",
		"[secrets]\nkey = geheim\n",
		"key = geheim\n",
		"[cloud]\ngeheim\n",
		"geheim\n",
		"[cloud]\nurl = ftp://user:geheim@cloud\n",
		"[cloud]\nsecret_key_file = /x\nsecret_key_file = geheim\n",
		"[store]\nurl = mariadb://u:geheim@db/v\nretention = 1s\n",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(read_text(f, texts[i]), -1);
		if (strstr(f->err.text, "geheim"))
			fail_msg("%s", f->err.text);
	}
}

/* ---- what several values say together ---- */

static void values_must_fit_each_other(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, "[cloud]\npoll_min = 10s\n",
		       "2: cloud.poll_min must not be more than cloud.poll_max");
	assert_accepted(f, "[cloud]\npoll_min = 10s\npoll_max = 10s\n");
	assert_refused(f, "[http]\nmax_requests = 7\n[cloud]\nurl = cloud.example.org\n",
		       "4: cloud.url must begin with http:// or https://");
	assert_accepted(f, "[store]\nretention = 0\n");
}

static void buses_are_a_set(void **state)
{
	struct fixture *f = *state;
	unsigned buses = 0;

	assert_accepted(f, "");
	assert_int_equal(config_buses(&f->config, &buses, &f->err), 0);
	assert_int_equal(buses, 1u << BUS_VIRTIO | 1u << BUS_SCSI);
	assert_accepted(f, "[device]\nbuses = loop,virtio  loop\n");
	assert_int_equal(config_buses(&f->config, &buses, &f->err), 0);
	assert_int_equal(buses, 1u << BUS_LOOP | 1u << BUS_VIRTIO);
	assert_refused(f, "[device]\nbuses = virtio ide\n",
		       "2: device.buses: \"ide\" is no bus; there are virtio, scsi, loop, other");
	assert_refused(f, "[device]\nbuses = ,\n",
		       "2: device.buses: name at least one of virtio, scsi, loop, other");
}

/* ---- what shows later ---- */

static void a_fault_that_shows_later_has_its_line(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *with_line = xasprintf("%s:3: too slow", f->path);
	_cleanup_free_ char *without = xasprintf("%s: too slow", f->path);

	assert_accepted(f, "# comment\n[cloud]\ntimeout = 9s\n");
	err_set_field(&f->err, "cloud_timeout", ERR_INVALID, "too slow");
	config_blame(&f->source, &f->err);
	assert_string_equal(f->err.text, with_line);
	/* A default is in no line. */
	err_set_field(&f->err, "cloud_poll_min", ERR_INVALID, "too slow");
	config_blame(&f->source, &f->err);
	assert_string_equal(f->err.text, without);
	/* Without a file there is nothing to blame. */
	unlink(f->path);
	f->err = (struct err){ 0 };
	config_clear(&f->config);
	assert_int_equal(config_read(&f->config, f->path, false, &f->source, &f->err), 0);
	err_set_field(&f->err, "cloud_timeout", ERR_INVALID, "too slow");
	config_blame(&f->source, &f->err);
	assert_string_equal(f->err.text, "too slow");
}

static void each_key_says_whether_it_needs_a_restart(void **state)
{
	_cleanup_buf_ struct buf sample = BUF_NULL, manual = BUF_NULL;

	config_sample(&sample);
	config_manual(&manual);
	for (size_t i = 0; i < config_record.count; i++) {
		const struct field *field = &config_record.fields[i];
		_cleanup_free_ char *line =
			xasprintf("; in force after a %s\n#%s =",
				  field->flags & CONFIG_LIVE ? "reload" : "restart",
				  strchr(field->name, '_') + 1);
		_cleanup_free_ char *item = xasprintf("\n.It Ic %s", strchr(field->name, '_') + 1);

		assert_non_null(strstr(sample.data, line));
		assert_non_null(strstr(manual.data, item));
	}
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(every_key_has_its_default),
		T(a_file_need_not_be_there),
		T(but_one_that_was_named_must),
		T(a_second_file_replaces_the_first),
		T(the_sample_says_the_defaults),
		cmocka_unit_test(the_sample_shows_every_key),
		T(values_of_every_kind_are_read),
		T(durations_take_units),
		T(numbers_have_limits),
		cmocka_unit_test(every_number_is_among_them),
		T(texts_have_limits),
		T(a_value_of_the_wrong_kind_is_refused),
		T(a_project_is_one_or_all),
		T(an_unknown_key_is_told_with_those_there_are),
		T(an_unknown_section_is_told_with_those_there_are),
		T(a_key_counts_once),
		T(the_first_bad_line_is_the_one_that_is_told),
		T(a_line_that_would_be_cut_is_refused),
		T(a_nul_is_refused),
		T(a_file_that_is_too_large_is_refused),
		T(secrets_are_not_repeated),
		T(values_must_fit_each_other),
		T(buses_are_a_set),
		T(a_fault_that_shows_later_has_its_line),
		cmocka_unit_test(each_key_says_whether_it_needs_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
