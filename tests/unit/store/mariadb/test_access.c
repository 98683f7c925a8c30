/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What another program writes about CloudStack: which row counts, when it is read, and what stays
 * of it in memory. */

#include <stdio.h>

#include "base/secret.h"
#include "fixture.h"
#include "store/open.h"

#ifndef __has_feature /* gcc's folders are built without sanitizers */
#define __has_feature(feature) 0
#endif

#define TABLE                                                                                         \
	"CREATE TABLE ossea_configs (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(191) NOT NULL, " \
	"api_url VARCHAR(191), api_key VARCHAR(191), secret_key VARCHAR(191), domain VARCHAR(191), "  \
	"zone VARCHAR(191), oma_vm_id VARCHAR(191), is_active BOOLEAN DEFAULT TRUE, updated_at DATETIME)"
#define ROW                                                                                        \
	"INSERT INTO ossea_configs (name, api_url, api_key, secret_key, oma_vm_id, is_active, updated_at) VALUES "

struct look {
	struct loop *loop;
	bool done;
	struct store_access access;
};

static void on_access(void *arg, struct store_access *result)
{
	struct look *look = arg;

	look->access = *result;
	look->done = true;
	loop_stop(look->loop);
}

static struct store_access look(struct fixture *f, const char *mark)
{
	struct look look = { .loop = f->loop };

	store_look_access(f->store, mark, on_access, &look);
	assert_false(look.done);
	fixture_wait(f, &look.done);
	return look.access;
}

static void assert_trouble(struct fixture *f, enum err_code code, const char *part)
{
	struct store_access access = look(f, NULL);

	assert_int_equal(access.err.code, code);
	assert_non_null(strstr(access.err.text, part));
	assert_null(access.mark);
	store_access_clear(&access);
}

static void assert_secret(const struct secret *secret, const char *text)
{
	assert_int_equal(secret_length(secret), strlen(text));
	assert_memory_equal(secret_bytes(secret), text, strlen(text));
}

static void what_is_missing_is_told_and_hurts_nobody(void **state)
{
	struct fixture *f = *state;

	assert_trouble(f, ERR_NOT_FOUND, "no table ossea_configs");
	fixture_mariadb_run(f, TABLE);
	assert_trouble(f, ERR_NOT_FOUND, "no row of table ossea_configs is active");
	fixture_mariadb_run(f, ROW "('old', 'http://old', 'k', 's', NULL, NULL, NOW())");
	assert_trouble(f, ERR_NOT_FOUND, "no row of table ossea_configs is active");
	fixture_mariadb_run(f, "ALTER TABLE ossea_configs DROP COLUMN secret_key");
	assert_trouble(f, ERR_INVALID, "secret_key");
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	assert_false(fixture_health(f).away);
}

static void a_missing_right_is_told(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *database = fixture_mariadb_text(f, "SELECT DATABASE()");
	_cleanup_free_ char *revoke =
		xasprintf("REVOKE SELECT ON %s.* FROM test@localhost", database);
	struct store_access access;

	fixture_mariadb_run(f, TABLE);
	fixture_mariadb_run(f, revoke);
	store_read_access(f->store, &access);
	assert_int_equal(access.err.code, ERR_FORBIDDEN);
	assert_non_null(strstr(access.err.text, "give the store's user SELECT on it"));
	store_access_clear(&access);
}

static void a_view_its_reader_cannot_see_through_is_told(void **state)
{
	struct fixture *f = *state;

	fixture_mariadb_run(f, "CREATE TABLE others (id INT)");
	fixture_mariadb_run(f, "CREATE VIEW ossea_configs AS SELECT * FROM others");
	fixture_mariadb_run(f, "DROP TABLE others");
	assert_trouble(f, ERR_INVALID, "ossea_configs");
}

static void the_newest_active_row_counts(void **state)
{
	struct fixture *f = *state;
	struct store_access access;

	fixture_mariadb_run(f, TABLE);
	fixture_mariadb_run(f, ROW "('undated', 'http://1', 'k1', 's1', NULL, TRUE, NULL),"
				   "('newest', 'http://2', 'k2', 's2', '" VM_A
				   "', TRUE, '2026-02-02'),"
				   "('older', 'http://3', 'k3', 's3', NULL, TRUE, '2026-01-01'),"
				   "('off', 'http://4', 'k4', 's4', NULL, FALSE, '2026-03-03')");
	fixture_mariadb_run(f, "UPDATE ossea_configs SET zone = CONCAT('zone of ', name)");
	store_read_access(f->store, &access);
	assert_ok(access.err);
	assert_int_equal(access.active, 3);
	assert_string_equal(access.name, "newest");
	assert_string_equal(access.url, "http://2");
	assert_secret(access.api_key, "k2");
	assert_secret(access.secret_key, "s2");
	assert_string_equal(access.appliance_id, VM_A);
	assert_string_equal(access.zone, "zone of newest");
	store_access_clear(&access);
}

static void null_and_empty_are_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_access access;

	fixture_mariadb_run(f, TABLE);
	fixture_mariadb_run(f, ROW "('bare', NULL, '', NULL, '', TRUE, NULL)");
	fixture_mariadb_run(f, "UPDATE ossea_configs SET zone = ''");
	access = look(f, NULL);
	assert_ok(access.err);
	assert_string_equal(access.name, "bare");
	assert_null(access.url);
	assert_null(access.api_key);
	assert_null(access.secret_key);
	assert_null(access.appliance_id);
	assert_null(access.zone);
	store_access_clear(&access);
}

static void only_what_is_another_is_read_again(void **state)
{
	static const char *const changes[] = {
		"UPDATE ossea_configs SET secret_key = 's2'",
		"UPDATE ossea_configs SET api_key = NULL",
		"UPDATE ossea_configs SET oma_vm_id = 'NULL'",
		"UPDATE ossea_configs SET zone = 'z'",
		"UPDATE ossea_configs SET api_url = 'http://2'",
		ROW "('b', 'http://1', 'k', 's', NULL, TRUE, '2020-01-01')",
	};
	struct fixture *f = *state;
	struct store_access first, same, other;

	fixture_mariadb_run(f, TABLE);
	fixture_mariadb_run(f, ROW "('a', 'http://1', 'k', 's', NULL, TRUE, '2026-01-01')");
	first = look(f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		same = look(f, first.mark);
		assert_true(same.same);
		assert_null(same.secret_key);
		fixture_mariadb_run(f, changes[i]);
		other = look(f, first.mark);
		assert_false(other.same);
		assert_string_equal(other.name, "a");
		assert_non_null(other.secret_key);
		store_access_clear(&same);
		store_access_clear(&first);
		first = other;
	}
	store_access_clear(&first);
}

/* ---- what stays in memory ---- */

static const char backwards[] = "d1a6-yrots-siht-fo-dne-eht-si-terces-siht";

static bool is_needle(const char *at)
{
	for (size_t i = 0; i < sizeof(backwards) - 1; i++) {
		if (at[i] != backwards[sizeof(backwards) - 2 - i])
			return false;
	}
	return true;
}

/* How often the text stands in memory that can be written, forwards. */
static size_t count_traces(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long begin, end;
		char mode[8];

		if (sscanf(line, "%lx-%lx %7s", &begin, &end, mode) != 3 ||
		    strncmp(mode, "rw", 2) != 0)
			continue;
		for (const char *at = (const char *)begin;
		     at + sizeof(backwards) <= (const char *)end; at++)
			count += is_needle(at);
	}
	fclose(maps);
	return count;
}

static void keys_are_gone_when_they_are_not_needed(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *row = NULL;
	struct store_access access, again;

#if __has_feature(address_sanitizer)
	skip(); /* its shadow is memory nobody can walk through */
#endif
	row = xasprintf(ROW "('a', 'http://1', REVERSE('%s'), REVERSE('%s'), NULL, TRUE, NOW())",
			backwards, backwards);
	fixture_mariadb_run(f, TABLE);
	fixture_mariadb_run(f, row);
	assert_int_equal(count_traces(), 0);
	store_read_access(f->store, &access);
	assert_int_equal(count_traces(), 2);
	again = look(f, NULL);
	assert_int_equal(count_traces(), 4);
	store_access_clear(&access);
	store_access_clear(&again);
	assert_int_equal(count_traces(), 0);
}

/* ---- trouble ---- */

static void a_look_that_nobody_waits_for_is_answered(void **state)
{
	struct fixture *f = *state;
	struct look pending = { .loop = f->loop };

	fixture_mariadb_run(f, TABLE);
	store_look_access(f->store, NULL, on_access, &pending);
	fixture_close(f);
	assert_true(pending.done);
	store_access_clear(&pending.access);
	fixture_open(f);
}

static void a_store_of_our_own_has_none(void **state)
{
	struct loop *loop = loop_new();
	struct store *store = store_open(loop, &(struct store_options){ .url = "memory:" }, NULL);

	assert_false(store_has_access(store));
	store_close(store);
	loop_free(loop);
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		T(what_is_missing_is_told_and_hurts_nobody),
		T(a_missing_right_is_told),
		T(a_view_its_reader_cannot_see_through_is_told),
		T(the_newest_active_row_counts),
		T(null_and_empty_are_nothing),
		T(only_what_is_another_is_read_again),
		T(keys_are_gone_when_they_are_not_needed),
		T(a_look_that_nobody_waits_for_is_answered),
		cmocka_unit_test(a_store_of_our_own_has_none),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
