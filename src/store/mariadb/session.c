/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One connection to one of the hosts.
 *
 * All sessions of a store stay with one host, `cluster->host`: in a Galera cluster one node may not
 * have applied yet a change that another node has committed. A session that loses its connection
 * moves `host` on, and the other sessions follow with their next statement. Once connected to a
 * node of a cluster, a session waits until the node has applied everything that the cluster had
 * committed by then; after that no read needs to wait, since all later writes go through the same
 * node.
 *
 * Every wait has a limit: 3 s to connect, 5 s to read or write a packet, 4 s for the lock of a row.
 * A patient session waits for the answer to a statement as long as the server lives, and checks
 * with a second connection that the server lives.
 */

#include "store/mariadb/session.h"

#include <assert.h>
#include <errmsg.h>
#include <poll.h>

#include "base/log.h"
#include "store/mariadb/connect.h"
#include "store/mariadb/fault.h"

#define PATIENCE_SECONDS 5

static enum mariadb_fault set_last_error(struct mariadb_session *session, struct err *err)
{
	return mariadb_set_error(session, mysql_errno(session->mysql), mysql_error(session->mysql),
				 err);
}

/* ---- statements in text ---- */

static enum mariadb_fault ask(struct mariadb_session *session, const char *sql, struct err *err)
{
	return mysql_real_query(session->mysql, sql, strlen(sql)) == 0
		       ? MARIADB_OK
		       : set_last_error(session, err);
}

static bool lives(const struct mariadb_session *session)
{
	struct mariadb_session other = { .cluster = session->cluster };
	enum mariadb_fault fault = mariadb_reach(&other, session->host, NULL);

	mariadb_close(&other);
	return fault == MARIADB_OK;
}

static enum mariadb_fault ask_patiently(struct mariadb_session *session, const char *sql,
					struct err *err)
{
	struct pollfd answer = { .fd = mysql_get_socket(session->mysql), .events = POLLIN };
	int seconds = 0;

	if (mysql_send_query(session->mysql, sql, strlen(sql)) != 0)
		return set_last_error(session, err);
	while (poll(&answer, 1, PATIENCE_SECONDS * 1000) == 0) {
		seconds += PATIENCE_SECONDS;
		log_notice("store: waiting for %s, for %d s so far: %.100s",
			   session->cluster->url.shown, seconds, sql);
		if (!lives(session))
			return mariadb_set_error(session, CR_SERVER_LOST,
						 "it does not answer any more", err);
	}
	return mysql_read_query_result(session->mysql) == 0 ? MARIADB_OK
							    : set_last_error(session, err);
}

enum mariadb_fault mariadb_query(struct mariadb_session *session, const char *sql,
				 mariadb_row_fn row, void *arg, struct err *err)
{
	enum mariadb_fault fault =
		session->patient ? ask_patiently(session, sql, err) : ask(session, sql, err);
	MYSQL_RES *result;
	char **columns;

	if (fault != MARIADB_OK)
		return fault;
	result = mysql_store_result(session->mysql);
	if (!result)
		return mysql_errno(session->mysql) ? set_last_error(session, err) : MARIADB_OK;
	while (row && (columns = mysql_fetch_row(result)) && row(arg, columns))
		;
	mysql_free_result(result);
	return MARIADB_OK;
}

enum mariadb_fault mariadb_run(struct mariadb_session *session, const char *sql, struct err *err)
{
	return mariadb_query(session, sql, NULL, NULL, err);
}

static bool take_number(void *arg, char **columns)
{
	uint64_t *out = arg;

	if (columns[0] && parse_u64(columns[0], out) < 0)
		*out = 0;
	return false;
}

enum mariadb_fault mariadb_number(struct mariadb_session *session, const char *sql, uint64_t *out,
				  struct err *err)
{
	*out = 0;
	return mariadb_query(session, sql, take_number, out, err);
}

void mariadb_quote(struct mariadb_session *session, struct buf *sql, const char *text)
{
	size_t length = strlen(text);
	_cleanup_free_ char *quoted = xmalloc(2 * length + 1);

	mysql_real_escape_string(session->mysql, quoted, text, length);
	buf_printf(sql, "'%s'", quoted);
}

/* ---- setting up ---- */

static enum mariadb_fault set_up(struct mariadb_session *session, struct err *err)
{
	static const char settings[] =
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
		"ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
		/*
		 * InnoDB refuses every change of a transaction that reads committed rows if the
		 * server logs statements.
		 */
		"tx_isolation = IF(@@log_bin AND @@binlog_format = 'STATEMENT', 'REPEATABLE-READ', "
		"'READ-COMMITTED'), innodb_lock_wait_timeout = 4, lock_wait_timeout = 4, "
		"foreign_key_checks = 1, unique_checks = 1, autocommit = 1, "
		/*
		 * The rows of two merged indexes would have to be sorted; one index gives the rows
		 * in the order of the list.
		 */
		"optimizer_switch = 'index_merge=off'";
	uint64_t is_node = 0;
	enum mariadb_fault fault = mariadb_run(session, settings, err);

	if (fault == MARIADB_OK)
		fault = mariadb_number(session, "SELECT @@max_allowed_packet", &session->packet_max,
				       err);
	if (fault == MARIADB_OK)
		fault = mariadb_number(session, "SELECT @@wsrep_on", &is_node, err);
	if (fault != MARIADB_OK || !is_node)
		return fault;
	/*
	 * After this statement the node has applied everything that the cluster had committed; see
	 * above.
	 */
	fault = mariadb_run(session, "SET SESSION wsrep_sync_wait = 1", err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(
			session,
			"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
			err);
	if (fault == MARIADB_AGAIN) /* which the server reports as a lock wait */
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: the node cannot catch up with its cluster (MariaDB code %u): it "
			"has no quorum or is far behind; bring the others back",
			session->cluster->url.shown, session->code);
	if (fault == MARIADB_OK)
		fault = mariadb_run(session, "SET SESSION wsrep_sync_wait = 0", err);
	return fault;
}

static enum mariadb_fault connect_host(struct mariadb_session *session, unsigned index,
				       struct err *err)
{
	enum mariadb_fault fault = mariadb_reach(session, index, err);

	if (fault == MARIADB_OK)
		fault = set_up(session, err);
	if (fault == MARIADB_OK && session->connected)
		fault = session->connected(session, err);
	if (fault == MARIADB_OK && session->in_transactions)
		fault = mariadb_run(session, "SET SESSION autocommit = 0", err);
	return fault;
}

/* ---- the session ---- */

static void clear_statements(struct mariadb_statements *statements)
{
	MYSQL_STMT **all = (MYSQL_STMT **)statements;

	for (size_t i = 0; i < sizeof(*statements) / sizeof(*all); i++) {
		if (all[i])
			mysql_stmt_close(all[i]);
		all[i] = NULL;
	}
}

void mariadb_close(struct mariadb_session *session)
{
	if (!session->mysql)
		return;
	clear_statements(&session->statements);
	mysql_close(session->mysql);
	session->mysql = NULL;
}

void mariadb_leave(struct mariadb_session *session)
{
	unsigned host = session->host;

	if (!session->mysql)
		return;
	mariadb_close(session);
	/* This does nothing if another session has moved on already. */
	atomic_compare_exchange_strong(&session->cluster->host, &host,
				       (host + 1) % (unsigned)session->cluster->url.host_count);
}

int mariadb_ready(struct mariadb_session *session, struct err *err)
{
	struct mariadb_cluster *cluster = session->cluster;
	unsigned first = atomic_load(&cluster->host);

	if (session->mysql && session->host == first)
		return 0;
	mariadb_close(session);
	for (unsigned i = 0; i < cluster->url.host_count; i++) {
		unsigned index = (first + i) % (unsigned)cluster->url.host_count;

		err_clear(err); /* the last host's */
		if (connect_host(session, index, err) == MARIADB_OK) {
			atomic_compare_exchange_strong(&cluster->host, &first, index);
			return 0;
		}
		mariadb_close(session);
		/* Another daemon has the database there, and the next host would not show this. */
		if (err->code == ERR_CONFLICT)
			return -1;
	}
	return -1;
}
