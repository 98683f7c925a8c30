/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One daemon has a database: the table volume_daemon_lease names this daemon, in a row for each
 * writer.
 *
 * A daemon that starts writes a word of its own, its holder, into all rows, and from then on every
 * transaction begins with a change of its writer's row, on condition that the row still has this
 * word. So a daemon that has been replaced can write nothing more, whatever it believes: a server
 * makes its transaction wait for the transaction that changes the row, and a cluster rejects the
 * later of two transactions that changed the row on different nodes. The change also makes a
 * transaction without other changes reach the disk, and tells others that this daemon is alive.
 *
 * But a daemon must not be replaced by mistake. On one server a lock under the database's name
 * prevents this: the connection of the first writer holds the lock, and the lock ends with the
 * connection. A lock belongs to one node, so in a cluster a daemon that finds the last daemon at
 * another node watches for as long as a living daemon would be quiet. If this daemon's own earlier
 * connection still has the lock, as after a cut, the holder in the table says so, and this daemon
 * ends that connection.
 */

#include "store/mariadb/lease.h"

#include <mysqld_error.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "store/writer.h"

/* MD5, since a lock's name must be short, while a database's name may be long. */
#define LOCK "CONCAT('volume-daemon:', MD5(DATABASE()))"
/* The server or node of this session. */
#define HERE "CONCAT_WS(':', @@hostname, @@port, @@socket)"

#define LOCK_SECONDS 4
#define WATCH_MS (WRITER_QUIET_MS + 2000)
#define WATCH_STEP_MS 200
#define TRIES_MAX 5

/* ---- the holder ---- */

static enum mariadb_fault set_lost(struct mariadb_session *session, struct err *err)
{
	atomic_store(&session->cluster->lost, true);
	err_set(err, ERR_CONFLICT,
		"the store %s has been taken over by another volume-daemon: stop one of the two, or give each a "
		"database of its own, and restart this daemon",
		session->cluster->url.shown);
	return MARIADB_AWAY;
}

/* Changes the rows that have this daemon's word. If there are none, the lease is lost. */
static enum mariadb_fault change_ours(struct mariadb_session *session, const char *sql,
				      struct err *err)
{
	enum mariadb_fault fault = mariadb_run(session, sql, err);

	/* With CLIENT_FOUND_ROWS this is the number of rows found, changed or not. */
	if (fault == MARIADB_OK && mysql_affected_rows(session->mysql) == 0)
		return set_lost(session, err);
	return fault;
}

enum mariadb_fault mariadb_lease_write(struct mariadb_session *session, struct err *err)
{
	char sql[160];

	if (atomic_load(&session->cluster->lost))
		return set_lost(session, err);
	snprintf(
		sql, sizeof(sql),
		"UPDATE volume_daemon_lease SET writes = writes + 1 WHERE lane = %u AND holder = '%s'",
		session->writer, session->cluster->holder);
	return change_ours(session, sql, err);
}

/* ---- the lock ---- */

static enum mariadb_fault confirm(struct mariadb_session *session, struct err *err)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "UPDATE volume_daemon_lease SET server = " HERE " WHERE holder = '%s'",
		 session->cluster->holder);
	return change_ours(session, sql, err);
}

static enum mariadb_fault take_lock(struct mariadb_session *session, unsigned seconds, bool *got,
				    struct err *err)
{
	char sql[128];
	uint64_t answer;
	enum mariadb_fault fault;

	snprintf(sql, sizeof(sql), "SELECT GET_LOCK(" LOCK ", %u)", seconds);
	fault = mariadb_number(session, sql, &answer, err);
	*got = answer == 1;
	return fault;
}

static enum mariadb_fault find_owner(struct mariadb_session *session, uint64_t *connection,
				     struct err *err)
{
	return mariadb_number(session, "SELECT IS_USED_LOCK(" LOCK ")", connection, err);
}

static enum mariadb_fault end_owner(struct mariadb_session *session, struct err *err)
{
	uint64_t connection;
	char sql[48];
	enum mariadb_fault fault = find_owner(session, &connection, err);

	if (fault != MARIADB_OK || !connection)
		return fault;
	snprintf(sql, sizeof(sql), "KILL CONNECTION %llu", (unsigned long long)connection);
	fault = mariadb_run(session, sql, err);
	if (fault == MARIADB_OK || session->code != ER_NO_SUCH_THREAD)
		return fault;
	/* The connection has ended by itself in the meantime. */
	err_clear(err);
	return MARIADB_OK;
}

static enum mariadb_fault set_in_use(struct mariadb_session *session, struct err *err)
{
	uint64_t connection;
	enum mariadb_fault fault = find_owner(session, &connection, err);

	if (fault != MARIADB_OK)
		return fault;
	err_set(err, ERR_CONFLICT,
		"the store %s is already in use by another volume-daemon (connection %llu of the server): stop that "
		"first, or give each a database of its own",
		session->cluster->url.shown, (unsigned long long)connection);
	return MARIADB_AWAY;
}

enum mariadb_fault mariadb_lease_guard(struct mariadb_session *session, struct err *err)
{
	bool again = session->cluster->holder[0] != '\0', got;
	enum mariadb_fault fault = take_lock(session, again ? 0 : LOCK_SECONDS, &got, err);

	if (fault == MARIADB_OK && again)
		fault = confirm(session, err);
	/*
	 * While the table has this daemon's word, the holder can only be its own earlier
	 * connection, whose end the server has not noticed.
	 */
	if (fault == MARIADB_OK && again && !got) {
		fault = end_owner(session, err);
		if (fault == MARIADB_OK)
			fault = take_lock(session, LOCK_SECONDS, &got, err);
	}
	return fault != MARIADB_OK || got ? fault : set_in_use(session, err);
}

/* ---- taking the lease ---- */

static enum mariadb_fault make_rows(struct mariadb_session *session, struct err *err)
{
	_cleanup_buf_ struct buf rows = BUF_NULL;
	enum mariadb_fault fault;

	fault = mariadb_run(
		session,
		"CREATE TABLE IF NOT EXISTS volume_daemon_lease (lane TINYINT UNSIGNED NOT NULL PRIMARY KEY, "
		"holder CHAR(36) NOT NULL DEFAULT '', writes BIGINT UNSIGNED NOT NULL DEFAULT 0, "
		"server VARCHAR(512) NOT NULL DEFAULT '') ENGINE=InnoDB "
		"DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		err);
	buf_add_text(&rows, "INSERT IGNORE INTO volume_daemon_lease (lane) VALUES ");
	for (unsigned writer = 0; writer < MARIADB_WRITERS; writer++)
		buf_printf(&rows, "%s(%u)", writer ? ", " : "", writer);
	return fault == MARIADB_OK ? mariadb_run(session, rows.data, err) : fault;
}

static enum mariadb_fault count_writes(struct mariadb_session *session, uint64_t *out,
				       struct err *err)
{
	return mariadb_number(session, "SELECT SUM(writes) FROM volume_daemon_lease", out, err);
}

/* The last daemon was at another node, and the lock of that node proves nothing at this node. */
static enum mariadb_fault watch(struct mariadb_session *session, struct err *err)
{
	const struct timespec step = { .tv_nsec = WATCH_STEP_MS * 1000000L };
	int64_t end_ms = clock_mono_ms() + WATCH_MS;
	uint64_t before, now;
	enum mariadb_fault fault = count_writes(session, &before, err);

	log_notice(
		"store: the last daemon that used %s was at another node: looking for %d s whether it still is",
		session->cluster->url.shown, WATCH_MS / 1000);
	while (fault == MARIADB_OK && clock_mono_ms() < end_ms) {
		nanosleep(&step, NULL);
		fault = count_writes(session, &now, err);
		if (fault != MARIADB_OK || now == before)
			continue;
		err_set(err, ERR_CONFLICT,
			"the store %s is already in use by another volume-daemon, at another node of the cluster: stop "
			"that first, or give each a database of its own",
			session->cluster->url.shown);
		return MARIADB_AWAY;
	}
	return fault;
}

static enum mariadb_fault look_around(struct mariadb_session *session, struct err *err)
{
	uint64_t is_node = 0, elsewhere = 0;
	enum mariadb_fault fault = mariadb_number(session, "SELECT @@wsrep_on", &is_node, err);

	if (fault == MARIADB_OK && is_node)
		fault = mariadb_number(
			session,
			"SELECT COUNT(*) FROM volume_daemon_lease WHERE holder <> '' AND server <> " HERE,
			&elsewhere, err);
	return fault == MARIADB_OK && elsewhere ? watch(session, err) : fault;
}

static enum mariadb_fault write_holder(struct mariadb_session *session, struct err *err)
{
	char holder[UUID_TEXT_SIZE];
	char sql[160];
	enum mariadb_fault fault = MARIADB_AGAIN;

	uuid_make_v4(holder);
	snprintf(sql, sizeof(sql), "UPDATE volume_daemon_lease SET holder = '%s', server = " HERE,
		 holder);
	/* Transactions of the previous daemon may still be under way. */
	for (unsigned i = 0; i < TRIES_MAX && fault == MARIADB_AGAIN; i++) {
		err_clear(err);
		fault = mariadb_run(session, sql, err);
	}
	if (fault == MARIADB_OK)
		memcpy(session->cluster->holder, holder, sizeof(holder));
	return fault;
}

int mariadb_lease_take(struct mariadb_session *session, struct err *err)
{
	enum mariadb_fault fault = make_rows(session, err);

	if (fault == MARIADB_OK)
		fault = look_around(session, err);
	if (fault == MARIADB_OK)
		fault = write_holder(session, err);
	return fault == MARIADB_OK ? 0 : -1;
}
