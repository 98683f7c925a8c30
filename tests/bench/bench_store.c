/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a store itself can do: clients that insert the rows of an accepted operation, each as soon
 * as its last one is durable, and nothing around it. What they ask for while a transaction is
 * committed is the next transaction, as in the daemon, with as many connections as it has; bench.py
 * holds the daemon against this in the same minute.
 *
 * The tables are there already. The SQL is written out, so that what the daemon's own store costs
 * shows in the ratio.
 */

#include <mysql.h>
#include <sqlite3.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "io/worker.h"

#define GROUP_MAX 256
#define MARIADB_WRITERS 3
#define OPERATION_TEXTS 7
#define HISTORY_TEXTS 3

static const char operation_sql[] =
	"INSERT INTO volume_operations (id, volume_id, vm_id, request, context, created_at, updated_at, type, status, "
	"needs_attention, undoing) VALUES (?, ?, ?, ?, ?, ?, ?, 'attach', 'pending', 0, 0)";
static const char history_sql[] =
	"INSERT INTO volume_operation_history (id, operation_id, changed_at, previous_status, new_status, details) "
	"VALUES (?, ?, ?, NULL, 'pending', '{}')";

struct rows {
	const char *operation[OPERATION_TEXTS];
	const char *history[HISTORY_TEXTS];
};

/* One connection, on one thread. */
struct session {
	const struct backend *backend;
	struct worker *worker;
	sqlite3 *sqlite;
	sqlite3_stmt *sqlite_stmts[2];
	MYSQL *mysql;
	MYSQL_STMT *mysql_stmts[2];
};

/* A failure ends the program. */
struct backend {
	const char *name;
	size_t sessions;
	int argc;
	void (*open)(struct session *session, char *const *argv);
	void (*run)(struct session *session, const char *sql);
	void (*insert)(struct session *session, const struct rows *rows);
};

struct client {
	struct worker_job job;
	struct session *session;
	char volume_id[UUID_TEXT_SIZE];
	char vm_id[UUID_TEXT_SIZE];
};

static struct {
	struct loop *loop;
	struct loop_timer end;
	bool over;
	size_t busy;
	uint64_t inserts;
} bench;

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, why);
	exit(1);
}

/* ---- SQLite: FILE ---- */

static void sqlite_run(struct session *session, const char *sql)
{
	if (sqlite3_exec(session->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail(sql, sqlite3_errmsg(session->sqlite));
}

static void sqlite_open_session(struct session *session, char *const *argv)
{
	static const char *const texts[] = { operation_sql, history_sql };

	if (sqlite3_open_v2(argv[0], &session->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		fail(argv[0], sqlite3_errmsg(session->sqlite));
	sqlite_run(
		session,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
		"PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 4000");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (sqlite3_prepare_v3(session->sqlite, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &session->sqlite_stmts[i], NULL) != SQLITE_OK)
			fail(texts[i], sqlite3_errmsg(session->sqlite));
	}
}

static void sqlite_execute(struct session *session, sqlite3_stmt *stmt, const char *const *texts,
			   int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_bind_text(stmt, i + 1, texts[i], -1, SQLITE_STATIC);
	if (sqlite3_step(stmt) != SQLITE_DONE)
		fail("insert", sqlite3_errmsg(session->sqlite));
	sqlite3_reset(stmt);
}

static void sqlite_insert(struct session *session, const struct rows *rows)
{
	sqlite_execute(session, session->sqlite_stmts[0], rows->operation, OPERATION_TEXTS);
	sqlite_execute(session, session->sqlite_stmts[1], rows->history, HISTORY_TEXTS);
}

/* ---- MariaDB: PORT USER PASSWORD-FILE DATABASE ---- */

static void mariadb_run(struct session *session, const char *sql)
{
	if (mysql_query(session->mysql, sql) != 0)
		fail(sql, mysql_error(session->mysql));
}

static void mariadb_open_session(struct session *session, char *const *argv)
{
	static const char *const texts[] = { operation_sql, history_sql };
	struct secret *password;
	struct err err = { 0 };
	uint64_t port;

	if (parse_u64(argv[0], &port) < 0 || port > 65535)
		fail(argv[0], "no port");
	password = secret_read(argv[2], SECRET_PASSWORD, &err);
	if (!password)
		fail(argv[2], err.text);
	session->mysql = mysql_init(NULL);
	mysql_options(session->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (!mysql_real_connect(session->mysql, "127.0.0.1", argv[1], secret_bytes(password),
				argv[3], (unsigned)port, NULL, 0))
		fail("connect", mysql_error(session->mysql));
	secret_free(password);
	mariadb_run(session, "SET SESSION tx_isolation = 'READ-COMMITTED'");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		session->mysql_stmts[i] = mysql_stmt_init(session->mysql);
		if (mysql_stmt_prepare(session->mysql_stmts[i], texts[i], strlen(texts[i])) != 0)
			fail(texts[i], mysql_stmt_error(session->mysql_stmts[i]));
	}
}

static void mariadb_execute(MYSQL_STMT *stmt, const char *const *texts, size_t count)
{
	MYSQL_BIND binds[OPERATION_TEXTS] = { 0 };

	for (size_t i = 0; i < count; i++) {
		binds[i].buffer_type = MYSQL_TYPE_STRING;
		binds[i].buffer = (void *)(uintptr_t)texts[i]; /* only read */
		binds[i].buffer_length = strlen(texts[i]);
	}
	if (mysql_stmt_bind_param(stmt, binds) != 0 || mysql_stmt_execute(stmt) != 0)
		fail("insert", mysql_stmt_error(stmt));
}

static void mariadb_insert(struct session *session, const struct rows *rows)
{
	mariadb_execute(session->mysql_stmts[0], rows->operation, OPERATION_TEXTS);
	mariadb_execute(session->mysql_stmts[1], rows->history, HISTORY_TEXTS);
}

static const struct backend backends[] = {
	{ "sqlite", 1, 1, sqlite_open_session, sqlite_run, sqlite_insert },
	{ "mariadb", MARIADB_WRITERS, 4, mariadb_open_session, mariadb_run, mariadb_insert },
};

/* ---- clients ---- */

static void insert(struct session *session, const struct client *client)
{
	char operation_id[UUID_TEXT_SIZE + 3], history_id[UUID_TEXT_SIZE], uuid[UUID_TEXT_SIZE],
		time[TIME_TEXT_SIZE];
	_cleanup_free_ char *request = xasprintf("{\"volume_id\":\"%s\",\"vm_id\":\"%s\"}",
						 client->volume_id, client->vm_id);

	uuid_make_v7(uuid);
	uuid_make_v7(history_id);
	snprintf(operation_id, sizeof(operation_id), "op-%s", uuid);
	time_format(clock_wall_ms(), time);
	time[10] = ' ';
	time[23] = '\0';
	session->backend->insert(session, &(struct rows){
						  { operation_id, client->volume_id, client->vm_id,
						    request, "{}", time, time },
						  { history_id, operation_id, time },
					  });
}

static void run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct session *session = context;
	struct worker_job *job;

	session->backend->run(session, "BEGIN");
	STAILQ_FOREACH(job, jobs, entry)
		insert(session, container_of(job, struct client, job));
	session->backend->run(session, "COMMIT");
}

static void on_durable(struct worker_job *job)
{
	bench.inserts++;
	if (!bench.over)
		worker_submit(container_of(job, struct client, job)->session->worker, job);
	else if (--bench.busy == 0)
		loop_stop(bench.loop);
}

static void on_end(struct loop_timer *timer)
{
	bench.over = true;
}

static void measure(struct session *sessions, size_t session_count, size_t clients, int64_t ms)
{
	_cleanup_free_ struct client *all = xcalloc(clients, sizeof(*all));
	int64_t begin = clock_mono_ms(), taken;

	bench.end.fire = on_end;
	loop_timer_set(bench.loop, &bench.end, ms);
	for (size_t i = 0; i < clients; i++) {
		all[i].session = &sessions[i % session_count];
		all[i].job.done = on_durable;
		uuid_make_v4(all[i].volume_id);
		uuid_make_v4(all[i].vm_id);
		worker_submit(all[i].session->worker, &all[i].job);
	}
	bench.busy = clients;
	loop_run(bench.loop);
	taken = clock_mono_ms() - begin;
	printf("%.1f inserts a second\n", (double)bench.inserts * 1000 / (double)taken);
}

int main(int argc, char **argv)
{
	struct session sessions[MARIADB_WRITERS] = { 0 };
	const struct backend *backend = NULL;
	uint64_t clients, seconds;

	for (size_t i = 0; i < ARRAY_SIZE(backends) && argc > 3; i++) {
		if (streq(argv[3], backends[i].name) && argc == 4 + backends[i].argc)
			backend = &backends[i];
	}
	if (!backend || parse_u64(argv[1], &clients) < 0 || parse_u64(argv[2], &seconds) < 0 ||
	    clients - 1 >= 10000 || seconds > 3600) {
		fprintf(stderr,
			"usage: bench_store CLIENTS SECONDS sqlite FILE\n"
			"       bench_store CLIENTS SECONDS mariadb PORT USER PASSWORD-FILE DATABASE\n");
		return 2;
	}
	bench.loop = loop_new();
	for (size_t i = 0; i < backend->sessions; i++) {
		sessions[i].backend = backend;
		backend->open(&sessions[i], argv + 4);
		sessions[i].worker =
			worker_new(bench.loop, "store", GROUP_MAX, run, &sessions[i], NULL);
	}
	measure(sessions, backend->sessions, clients, (int64_t)seconds * 1000);
	for (size_t i = 0; i < backend->sessions; i++)
		worker_free(sessions[i].worker);
	return 0;
}
