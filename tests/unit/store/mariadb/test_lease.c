/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One daemon a database: the lock keeps a second daemon out, and the lease keeps a daemon that was
 * replaced from writing. The server's root plays the other daemon and cuts connections.
 */

#include <dlfcn.h>
#include <mysql.h>

#include "fixture.h"
#include "store/mariadb/lease.h"
#include "store/mariadb/url.h"

static void nodes_without_the_lock_are_known_by_their_version(void **state)
{
	static const struct {
		unsigned long version;
		bool is_supported;
	} rows[] = {
		{ 80036, false }, { 100529, false }, { 100613, false }, { 100614, true },
		{ 100622, true }, { 100703, false }, { 101103, false }, { 101104, true },
		{ 101114, true }, { 110402, true },  { 120000, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(mariadb_lease_is_supported(rows[i].version), rows[i].is_supported);
}

static void a_second_daemon_is_kept_out(void **state)
{
	struct fixture *f = *state;
	struct err err = fixture_refused(f);
	char host[256] = "";
	_cleanup_free_ char *process = NULL;

	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	process = xasprintf("already in use by another volume-daemon, process %d on host %s "
			    "(connection ",
			    (int)getpid(), host);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, process));
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	fixture_reopen(f);
}

#define LOCK "CONCAT('volume-daemon:', MD5(DATABASE()))"

/* A new connection of the daemon's user that has the lock, as soon as the connection that had it
 * has ended. */
static MYSQL *connect_and_lock(struct fixture *f)
{
	struct mariadb_url url;
	struct err err = { 0 };
	MYSQL *connection = mysql_init(NULL);
	MYSQL_RES *result;

	assert_int_equal(mariadb_url_parse(f->url, &url, &err), 0);
	assert_non_null(mysql_real_connect(connection, NULL, url.user, NULL, url.database, 0,
					   url.socket, 0));
	assert_int_equal(mysql_query(connection, "SELECT GET_LOCK(" LOCK ", 60)"), 0);
	result = mysql_store_result(connection);
	assert_string_equal(mysql_fetch_row(result)[0], "1");
	mysql_free_result(result);
	mariadb_url_clear(&url);
	return connection;
}

/* The same, after ours was cut. */
static MYSQL *take_lock(struct fixture *f)
{
	_cleanup_free_ char *id = fixture_mariadb_text(f, "SELECT IS_USED_LOCK(" LOCK ")");
	_cleanup_free_ char *kill = xasprintf("KILL CONNECTION %s", id);

	fixture_mariadb_run(f, kill);
	return connect_and_lock(f);
}

static void end_connection(struct fixture *f, MYSQL *connection)
{
	_cleanup_free_ char *count =
		xasprintf("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = %lu",
			  mysql_thread_id(connection));
	bool ended = false;

	mysql_close(connection);
	while (!ended) {
		_cleanup_free_ char *text = fixture_mariadb_text(f, count);

		ended = streq(text, "0");
	}
}

/*
 * Every statement in text passes here on its way to the client library, so that a test can do
 * between two statements of the store what happens there by chance otherwise. False from it: that
 * was all.
 */
static _Thread_local bool (*before_statement)(const char *sql);

typedef int STDCALL (*send_fn)(MYSQL *, const char *, unsigned long);

static int pass_on(const char *function, MYSQL *mysql, const char *sql, unsigned long length)
{
	send_fn real = (send_fn)dlsym(RTLD_NEXT, function);
	/* the test's own statements come here, too */
	bool (*before)(const char *sql) = TAKE_PTR(before_statement);
	bool again = before && before(sql);
	int r = real(mysql, sql, length);

	if (again)
		before_statement = before;
	return r;
}

int STDCALL mysql_real_query(MYSQL *mysql, const char *sql, unsigned long length)
{
	return pass_on("mysql_real_query", mysql, sql, length);
}

/* A patient session, as at the start, sends and waits by itself. */
int STDCALL mysql_send_query(MYSQL *mysql, const char *sql, unsigned long length)
{
	return pass_on("mysql_send_query", mysql, sql, length);
}

static void assert_replaced(struct fixture *f, struct store_batch *batch)
{
	struct answer answer;
	struct list list;

	store_batch_optional(batch);
	fixture_submit(f, batch, &answer);
	fixture_wait_answer(f, &answer);
	assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(answer.err.text, "taken over by another volume-daemon"));
	assert_non_null(strstr(answer.err.text, "restart this daemon"));
	assert_non_null(strstr(fixture_health(f).reason, "taken over"));
	list = fixture_find(f, "op-2");
	assert_ok(list.err);
	assert_int_equal(list.count, 0);
	list_clear(&list);
}

static void one_that_was_replaced_writes_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *holder =
		fixture_mariadb_text(f, "SELECT DISTINCT holder FROM volume_daemon_lease");
	_cleanup_free_ char *restore =
		xasprintf("UPDATE volume_daemon_lease SET holder = '%s'", holder);

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	/* Though it has the lock, as on another node of a cluster. */
	fixture_mariadb_run(f, "UPDATE volume_daemon_lease SET holder = 'other'");
	assert_replaced(f, batch_with_operation("op-2", OPERATION_PENDING));
	assert_replaced(f, batch_with_mapping("v", VM_A, "/dev/vdb"));
	/* What it knows is of the past now, also when the other one is gone. */
	fixture_mariadb_run(f, restore);
	assert_replaced(f, batch_with_operation("op-2", OPERATION_PENDING));
	fixture_reopen(f);
	assert_ok(fixture_commit(f, batch_with_operation("op-2", OPERATION_PENDING)));
}

static void a_lock_that_is_left_is_taken_back(void **state)
{
	struct fixture *f = *state;
	MYSQL *left = take_lock(f);

	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	assert_int_not_equal(mysql_ping(left), 0);
	assert_int_equal(fixture_refused(f).code, ERR_CONFLICT);
	mysql_close(left);
}

static struct {
	struct fixture *f;
	MYSQL *connection;
} late;

/* The store asks for the lock, is told which connection has it, and kills that: here the connection
 * ends in between. */
static bool end_before_the_kill(const char *sql)
{
	if (streq(sql, "SELECT GET_LOCK(" LOCK ", 0)"))
		late.connection = connect_and_lock(late.f);
	if (!str_has_prefix(sql, "KILL CONNECTION"))
		return true;
	end_connection(late.f, TAKE_PTR(late.connection));
	return false;
}

static void a_lock_that_ends_by_itself_is_no_error(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	late.f = f;
	before_statement = end_before_the_kill;
	fixture_open(f);
	assert_null(before_statement);
	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
}

static void the_lock_of_the_one_that_took_over_is_left_alone(void **state)
{
	struct fixture *f = *state;
	MYSQL *other = take_lock(f);

	fixture_mariadb_run(f, "UPDATE volume_daemon_lease SET holder = 'other'");
	assert_replaced(f, batch_with_mapping("v", VM_A, "/dev/vdb"));
	assert_int_equal(mysql_ping(other), 0);
	mysql_close(other);
}

/* Another daemon that started at the same moment, at another node: it saw the same last daemon. */
static bool other_is_first(const char *sql)
{
	if (!str_has_prefix(sql, "UPDATE volume_daemon_lease SET holder"))
		return true;
	fixture_mariadb_run(late.f, "UPDATE volume_daemon_lease SET holder = 'other'");
	return false;
}

static void of_two_that_start_at_once_one_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *holder = NULL;
	struct err err;

	fixture_close(f);
	late.f = f;
	before_statement = other_is_first;
	err = fixture_refused(f);
	assert_null(before_statement);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "already in use by another volume-daemon"));
	holder = fixture_mariadb_text(f, "SELECT DISTINCT holder FROM volume_daemon_lease");
	assert_string_equal(holder, "other");
	fixture_open(f);
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_without_the_lock_are_known_by_their_version),
		T(a_second_daemon_is_kept_out),
		T(one_that_was_replaced_writes_nothing),
		T(a_lock_that_is_left_is_taken_back),
		T(a_lock_that_ends_by_itself_is_no_error),
		T(the_lock_of_the_one_that_took_over_is_left_alone),
		T(of_two_that_start_at_once_one_is_refused),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
