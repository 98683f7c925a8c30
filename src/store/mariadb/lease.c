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
 * another node watches for as long as a living daemon would be quiet. The holder can change after
 * it was read, so one statement replaces the holder that was seen, and no other; its number of
 * changed rows says whether it succeeded. If this daemon's own earlier connection still has the
 * lock, as after a cut, the holder in the table says so, and this daemon ends that connection.
 */

#include "store/mariadb/lease.h"

#include <limits.h>
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
		"the store %s has been taken over by another volume-daemon: stop one of the two, or give each daemon a "
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

static bool take_process(void *arg, char **columns)
{
	struct buf *out = arg;

	if (!str_empty(columns[0]))
		buf_printf(out, ", process %s on host %s", columns[1], columns[0]);
	return false;
}

/* Names the daemon that has the lease; where: "" or more about the place. */
static enum mariadb_fault set_in_use(struct mariadb_session *session, const char *where,
				     struct err *err)
{
	_cleanup_buf_ struct buf process = BUF_NULL;
	enum mariadb_fault fault =
		mariadb_query(session, "SELECT host, pid FROM volume_daemon_lease WHERE lane = 0",
			      take_process, &process, err);

	/* A daemon of an earlier version has noted no process, and one that starts now has no
	 * table. */
	if (fault != MARIADB_OK && session->code != ER_BAD_FIELD_ERROR &&
	    session->code != ER_NO_SUCH_TABLE)
		return fault;
	err_set(err, ERR_CONFLICT,
		"the store %s is already in use by another volume-daemon%s%s: stop the "
		"other daemon first, or give each daemon a database of its own",
		session->cluster->url.shown, str_or(process.data, ""), where);
	return MARIADB_AWAY;
}

static enum mariadb_fault set_locked(struct mariadb_session *session, struct err *err)
{
	char where[64];
	uint64_t connection;
	enum mariadb_fault fault = find_owner(session, &connection, err);

	if (fault != MARIADB_OK)
		return fault;
	snprintf(where, sizeof(where), " (connection %llu of the server)",
		 (unsigned long long)connection);
	return set_in_use(session, where, err);
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
	return fault != MARIADB_OK || got ? fault : set_locked(session, err);
}

/* ---- taking the lease ---- */

/* The process was not noted before schema version 5, whose migration comes after the lease. */
static enum mariadb_fault add_process(struct mariadb_session *session, struct err *err)
{
	uint64_t there = 0;
	enum mariadb_fault fault = mariadb_number(
		session,
		"SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
		"AND TABLE_NAME = 'volume_daemon_lease' AND COLUMN_NAME IN ('host', 'pid')",
		&there, err);

	if (fault != MARIADB_OK || there == 2)
		return fault;
	return mariadb_run(session,
			   "ALTER TABLE volume_daemon_lease "
			   "ADD COLUMN IF NOT EXISTS host VARCHAR(64) NOT NULL DEFAULT '', "
			   "ADD COLUMN IF NOT EXISTS pid INT UNSIGNED NOT NULL DEFAULT 0",
			   err);
}

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
	if (fault == MARIADB_OK)
		fault = add_process(session, err);
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
		return set_in_use(session, ", at another node of the cluster", err);
	}
	return fault;
}

/* Some earlier versions refuse GET_LOCK() on a node; of the others it is not known whether the lock
 * works there. */
bool mariadb_lease_is_supported(unsigned long version)
{
	return version >= 101104 || (version >= 100614 && version < 100700);
}

static enum mariadb_fault check_node(struct mariadb_session *session, struct err *err)
{
	if (mariadb_lease_is_supported(mysql_get_server_version(session->mysql)))
		return MARIADB_OK;
	err_set(err, ERR_INVALID,
		"the store %s cannot be used: this node of a cluster has MariaDB %s, whose GET_LOCK() is not "
		"known to work in a cluster; use 10.6.14, 10.11.4 or newer",
		session->cluster->url.shown, mysql_get_server_info(session->mysql));
	return MARIADB_AWAY;
}

static enum mariadb_fault look_around(struct mariadb_session *session, struct err *err)
{
	uint64_t is_node = 0, elsewhere = 0;
	enum mariadb_fault fault = mariadb_number(session, "SELECT @@wsrep_on", &is_node, err);

	if (fault == MARIADB_OK && is_node)
		fault = check_node(session, err);
	if (fault == MARIADB_OK && is_node)
		fault = mariadb_number(
			session,
			"SELECT COUNT(*) FROM volume_daemon_lease WHERE holder <> '' AND server <> " HERE,
			&elsewhere, err);
	return fault == MARIADB_OK && elsewhere ? watch(session, err) : fault;
}

static bool take_holder(void *arg, char **columns)
{
	snprintf(arg, UUID_TEXT_SIZE, "%s", columns[0]);
	return false;
}

/* The word of the daemon to be replaced, "" if there was none. */
static enum mariadb_fault read_holder(struct mariadb_session *session, char seen[UUID_TEXT_SIZE],
				      struct err *err)
{
	seen[0] = '\0';
	return mariadb_query(session, "SELECT holder FROM volume_daemon_lease WHERE lane = 0",
			     take_holder, seen, err);
}

static enum mariadb_fault set_beaten(struct mariadb_session *session, struct err *err)
{
	err_set(err, ERR_CONFLICT,
		"the store %s is already in use by another volume-daemon, which started at the same time: stop one of "
		"the two, or give each daemon a database of its own",
		session->cluster->url.shown);
	return MARIADB_AWAY;
}

/*
 * Replaces the daemon that was seen, and no other. Two daemons that start at once, on two nodes,
 * see the same one; the cluster lets one of the two changes through, and the other change, which
 * is run again, then finds no row. Rows without a word belong to nobody.
 */
static enum mariadb_fault replace_holder(struct mariadb_session *session, const char *seen,
					 struct err *err)
{
	char holder[UUID_TEXT_SIZE], host[HOST_NAME_MAX + 1] = "";
	_cleanup_buf_ struct buf sql = BUF_NULL;
	enum mariadb_fault fault = MARIADB_AGAIN;

	uuid_make_v4(holder);
	gethostname(host, sizeof(host));
	buf_printf(&sql, "UPDATE volume_daemon_lease SET holder = '%s', pid = %d, host = ", holder,
		   (int)getpid());
	mariadb_quote(session, &sql, host);
	buf_printf(&sql, ", server = " HERE " WHERE holder IN ('', '%s')", seen);
	/* Transactions of the previous daemon may still be under way. */
	for (unsigned i = 0; i < TRIES_MAX && fault == MARIADB_AGAIN; i++) {
		err_clear(err);
		fault = mariadb_run(session, sql.data, err);
	}
	if (fault != MARIADB_OK)
		return fault;
	if (mysql_affected_rows(session->mysql) < MARIADB_WRITERS)
		return set_beaten(session, err);
	memcpy(session->cluster->holder, holder, sizeof(holder));
	return MARIADB_OK;
}

int mariadb_lease_take(struct mariadb_session *session, struct err *err)
{
	char seen[UUID_TEXT_SIZE];
	enum mariadb_fault fault = make_rows(session, err);

	if (fault == MARIADB_OK)
		fault = read_holder(session, seen, err);
	if (fault == MARIADB_OK)
		fault = look_around(session, err);
	if (fault == MARIADB_OK)
		fault = replace_holder(session, seen, err);
	return fault == MARIADB_OK ? 0 : -1;
}
