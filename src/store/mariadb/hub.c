/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The appliance's main program, the hub, reads and writes the daemon's tables, and expects what the
 * earlier daemon did for it:
 *
 * - vm_context_id, a column of the hub in mappings and exports, names the machine that a volume
 *   belongs to. It is looked up in ossea_volumes, the hub's table of volumes. The hub deletes its
 *   machines (vm_replication_contexts) at any time, so the name is cleared when the machine is
 * gone.
 * - status and device_path in ossea_volumes follow the mapping.
 * - ossea_snapshot_id, snapshot_created_at and snapshot_status, columns of the hub in mappings,
 * show the snapshot that is kept of the volume (tracked_snapshots). That table decides, and
 * outlives the mapping; a value of the hub's for which it has no row is taken over first.
 *
 * All of this happens in the transaction of the daemon's own change, so that the hub never sees one
 * without the other. But the hub's tables are not the daemon's: they may be missing, they may be
 * out of reach, and a change there that fails must not hold up the daemon's own. The server undoes
 * a failed statement alone, and the transaction goes on without it.
 *
 * The hub's own transactions hold its rows for as long as they like. The server counts a wait for a
 * lock in seconds, and the daemon refuses a request whose batch waits for one; so a statement does
 * not wait, but is tried again for half a second, once in each transaction of the daemon's.
 */

#include "store/mariadb/hub.h"

#include <mysqld_error.h>
#include <time.h>

#include "base/log.h"

#define HELD_TRIES 10
#define HELD_PAUSE_MS 50

/* The parts of the work, each with a statement that tries, on no row, whether it can be done. */
static const struct part {
	const char *trial, *what, *rights;
} parts[] = {
	[MARIADB_HUB_MAPPINGS] = { "UPDATE device_mappings SET vm_context_id = (SELECT vm_context_id FROM ossea_volumes "
				   "WHERE 1 = 0 AND volume_id = '') WHERE 1 = 0",
				   "vm_context_id of mappings is not looked up in ossea_volumes",
				   "SELECT" },
	[MARIADB_HUB_EXPORTS] = { "UPDATE nbd_exports SET vm_context_id = (SELECT vm_context_id FROM ossea_volumes WHERE "
				  "1 = 0 AND volume_id = '') WHERE 1 = 0",
				  "vm_context_id of exports is not looked up in ossea_volumes",
				  "SELECT" },
	[MARIADB_HUB_VOLUMES] = { "UPDATE ossea_volumes SET status = status, device_path = device_path WHERE 1 = 0 AND "
				  "volume_id = ''",
				  "status and device_path in ossea_volumes are not kept in step with device_mappings",
				  "SELECT and UPDATE" },
	[MARIADB_HUB_SNAPSHOTS] = { "UPDATE device_mappings SET ossea_snapshot_id = NULL, snapshot_created_at = NULL, "
				    "snapshot_status = 'none' WHERE 1 = 0 AND vm_context_id = ''",
				    "the columns of snapshots in device_mappings are not kept in step with tracked_snapshots",
				    "SELECT and UPDATE" },
	[MARIADB_HUB_CONTEXTS] = { "SELECT context_id FROM vm_replication_contexts WHERE 1 = 0",
				   "vm_context_id is not cleared when its row in vm_replication_contexts is gone",
				   "SELECT" },
};
_Static_assert(ARRAY_SIZE(parts) == MARIADB_HUB_PART_COUNT, "each part has one row");

static bool has(const struct mariadb_session *session, enum mariadb_hub_part part)
{
	return atomic_load(&session->cluster->hub[part]);
}

static void give_up(struct mariadb_session *session, enum mariadb_hub_part part)
{
	if (!atomic_exchange(&session->cluster->hub[part], false))
		return;
	log_warning(
		"store: until the next start, %s: %s; correct the table or the user's rights (%s) and restart the daemon",
		parts[part].what, mysql_error(session->mysql), parts[part].rights);
}

static bool is_missing(unsigned code)
{
	return code == ER_NO_SUCH_TABLE || code == ER_BAD_FIELD_ERROR;
}

/* Errors that last, of tables that are not the daemon's. */
static bool is_shut(unsigned code)
{
	return is_missing(code) || code == ER_TABLEACCESS_DENIED_ERROR ||
	       code == ER_COLUMNACCESS_DENIED_ERROR || code == ER_VIEW_INVALID ||
	       code == ER_NON_UPDATABLE_TABLE || code == ER_NON_INSERTABLE_TABLE;
}

/* The server has undone the failed statement alone, and not the transaction. */
static bool is_open(struct mariadb_session *session)
{
	uint64_t open;

	return mariadb_number(session, "SELECT @@in_transaction", &open, NULL) == MARIADB_OK &&
	       open == 1;
}

/* Another transaction holds a row or the table: this ends a statement, a deadlock ends them all. */
static bool is_held(const struct mariadb_session *session, enum mariadb_fault fault)
{
	return fault == MARIADB_AGAIN && session->code == ER_LOCK_WAIT_TIMEOUT;
}

/* The hub's part of a transaction has failed. A fault that may pass is told each time. */
static enum mariadb_fault settle(struct mariadb_session *session, enum mariadb_hub_part part,
				 enum mariadb_fault fault, struct err *err)
{
	_cleanup_free_ char *why = NULL;

	if (fault == MARIADB_OK || (fault == MARIADB_AGAIN && !is_held(session, fault)))
		return fault;
	if (is_shut(session->code)) {
		give_up(session, part);
	} else {
		why = xstrdup(mysql_error(session->mysql));
		if (!is_open(session))
			return fault;
		log_warning("store: %s this time: %s", parts[part].what, why);
	}
	err_clear(err);
	return MARIADB_OK;
}

/* The first limit is for locks of rows, the second for a table that is being altered. */
static enum mariadb_fault query_bounded(struct mariadb_session *session, const char *sql,
					mariadb_row_fn row, void *arg, struct err *err)
{
	_cleanup_free_ char *bounded = xasprintf(
		"SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR %s", sql);
	const struct timespec pause = { .tv_nsec = HELD_PAUSE_MS * 1000000L };
	unsigned tries = session->hub_waited ? 1 : HELD_TRIES;
	enum mariadb_fault fault = mariadb_query(session, bounded, row, arg, err);

	while (is_held(session, fault) && --tries > 0 && is_open(session)) {
		nanosleep(&pause, NULL);
		session->hub_waited = true;
		err_clear(err);
		fault = mariadb_query(session, bounded, row, arg, err);
	}
	return fault;
}

static enum mariadb_fault run_part(struct mariadb_session *session, enum mariadb_hub_part part,
				   const struct buf *sql, struct err *err)
{
	return settle(session, part, query_bounded(session, sql->data, NULL, NULL, err), err);
}

/*
 * A change of the mapping would overwrite the hub's value, and a detachment removes it. volume_id:
 * NULL for all.
 */
static enum mariadb_fault take_snapshots(struct mariadb_session *session, const char *volume_id,
					 struct err *err)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	if (!has(session, MARIADB_HUB_SNAPSHOTS))
		return MARIADB_OK;
	buf_add_text(
		&sql,
		"INSERT IGNORE INTO tracked_snapshots (id, vm_context_id, snapshot_id, snapshot_status, "
		"snapshot_created_at, updated_at) SELECT LOWER(volume_id), COALESCE(vm_context_id, ''), "
		"ossea_snapshot_id, COALESCE(snapshot_status, 'none'), "
		"IF(YEAR(snapshot_created_at) * MONTH(snapshot_created_at) * DAYOFMONTH(snapshot_created_at) = 0, "
		"NULL, snapshot_created_at), UTC_TIMESTAMP(3) "
		"FROM device_mappings WHERE ossea_snapshot_id <> '' AND volume_id <> ''");
	if (volume_id) {
		buf_add_text(&sql, " AND volume_id = ");
		mariadb_quote(session, &sql, volume_id);
	}
	return run_part(session, MARIADB_HUB_SNAPSHOTS, &sql, err);
}

/* A table or a column that is missing is no trouble: nobody wants this part. */
static enum mariadb_fault try_part(struct mariadb_session *session, enum mariadb_hub_part part,
				   struct err *err)
{
	enum mariadb_fault fault = query_bounded(session, parts[part].trial, NULL, NULL, err);

	atomic_store(&session->cluster->hub[part],
		     fault == MARIADB_OK || !is_missing(session->code));
	return settle(session, part, fault, err);
}

/* In a transaction, as later, so that a fault that passes leaves its part on here too. */
enum mariadb_fault mariadb_hub_find(struct mariadb_session *session, struct err *err)
{
	enum mariadb_fault fault = mariadb_run(session, "START TRANSACTION", err);

	for (int part = 0; part < MARIADB_HUB_PART_COUNT && fault == MARIADB_OK; part++)
		fault = try_part(session, (enum mariadb_hub_part)part, err);
	if (fault == MARIADB_OK)
		fault = take_snapshots(session, NULL, err);
	return fault == MARIADB_OK ? mariadb_run(session, "COMMIT", err) : fault;
}

/* ---- around a change ---- */

enum mariadb_fault mariadb_hub_precede(struct mariadb_session *session,
				       const struct store_change *change, struct err *err)
{
	if (change->table == STORE_MAPPINGS && change->remove)
		return take_snapshots(session, change->row.mapping.volume_id, err);
	return MARIADB_OK;
}

static enum mariadb_fault look_up_context(struct mariadb_session *session,
					  enum mariadb_hub_part part, const char *table,
					  const char *volume_id, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;

	if (!has(session, part))
		return MARIADB_OK;
	buf_printf(
		&sql,
		"UPDATE %s SET vm_context_id = (SELECT vm_context_id FROM ossea_volumes WHERE volume_id = ",
		table);
	mariadb_quote(session, &sql, volume_id);
	buf_add_text(&sql, " LIMIT 1) WHERE vm_context_id IS NULL AND volume_id = ");
	mariadb_quote(session, &sql, volume_id);
	return run_part(session, part, &sql, err);
}

/*
 * device_path: NULL for none. A row that says so already is left alone, with its time and the hub's
 * triggers.
 */
static enum mariadb_fault note_state(struct mariadb_session *session, const char *volume_id,
				     const char *status, const char *device_path, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL, path = BUF_NULL;

	if (!has(session, MARIADB_HUB_VOLUMES))
		return MARIADB_OK;
	if (device_path)
		mariadb_quote(session, &path, device_path);
	else
		buf_add_text(&path, "NULL");
	buf_printf(&sql,
		   "UPDATE ossea_volumes SET status = '%s', device_path = %s WHERE volume_id = ",
		   status, path.data);
	mariadb_quote(session, &sql, volume_id);
	buf_printf(&sql, " AND NOT (status <=> '%s' AND device_path <=> %s)", status, path.data);
	return run_part(session, MARIADB_HUB_VOLUMES, &sql, err);
}

/* The mapping of the volume, if there is one, shows what is kept. */
static enum mariadb_fault show_snapshot(struct mariadb_session *session, const char *volume_id,
					struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;

	if (!has(session, MARIADB_HUB_SNAPSHOTS))
		return MARIADB_OK;
	buf_add_text(&sql,
		     "UPDATE device_mappings AS mapping, tracked_snapshots AS kept SET "
		     "mapping.ossea_snapshot_id = kept.snapshot_id, "
		     "mapping.snapshot_created_at = kept.snapshot_created_at, "
		     "mapping.snapshot_status = kept.snapshot_status WHERE mapping.volume_id = ");
	mariadb_quote(session, &sql, volume_id);
	buf_add_text(&sql, " AND kept.id = ");
	mariadb_quote(session, &sql, volume_id);
	return run_part(session, MARIADB_HUB_SNAPSHOTS, &sql, err);
}

static enum mariadb_fault clear_snapshot(struct mariadb_session *session, const char *volume_id,
					 struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;

	if (!has(session, MARIADB_HUB_SNAPSHOTS))
		return MARIADB_OK;
	buf_add_text(&sql,
		     "UPDATE device_mappings SET ossea_snapshot_id = NULL, "
		     "snapshot_created_at = NULL, snapshot_status = 'none' WHERE volume_id = ");
	mariadb_quote(session, &sql, volume_id);
	return run_part(session, MARIADB_HUB_SNAPSHOTS, &sql, err);
}

static enum mariadb_fault follow_mapping(struct mariadb_session *session,
					 const struct store_change *change, struct err *err)
{
	const struct mapping_record *mapping = &change->row.mapping;
	enum mariadb_fault fault;

	if (change->remove)
		return note_state(session, mapping->volume_id, "detached", NULL, err);
	/* A row that makes room for others in its batch gets its path behind them. */
	if (!mapping->device_path)
		return MARIADB_OK;
	fault = look_up_context(session, MARIADB_HUB_MAPPINGS, "device_mappings",
				mapping->volume_id, err);
	if (fault == MARIADB_OK)
		fault = show_snapshot(session, mapping->volume_id, err);
	return fault == MARIADB_OK ? note_state(session, mapping->volume_id, "attached",
						mapping->device_path, err)
				   : fault;
}

enum mariadb_fault mariadb_hub_follow(struct mariadb_session *session,
				      const struct store_change *change, struct err *err)
{
	if (change->table == STORE_MAPPINGS)
		return follow_mapping(session, change, err);
	if (change->table == STORE_EXPORTS && !change->remove)
		return look_up_context(session, MARIADB_HUB_EXPORTS, "nbd_exports",
				       change->row.export.volume_id, err);
	if (change->table == STORE_SNAPSHOTS)
		return change->remove ? clear_snapshot(session, change->row.snapshot.id, err)
				      : show_snapshot(session, change->row.snapshot.id, err);
	return MARIADB_OK;
}

/* ---- now and then ---- */

/*
 * Subqueries, since these lock none of the rows that they read; an UPDATE of joined tables would
 * lock the hub's.
 */
static enum mariadb_fault heal_table(struct mariadb_session *session, enum mariadb_hub_part part,
				     const char *table, struct err *err)
{
	_cleanup_buf_ struct buf gone = BUF_NULL, come = BUF_NULL;
	enum mariadb_fault fault;

	if (!has(session, part) || !has(session, MARIADB_HUB_CONTEXTS))
		return MARIADB_OK;
	buf_printf(
		&gone,
		"UPDATE %s SET vm_context_id = NULL WHERE vm_context_id IS NOT NULL AND NOT EXISTS "
		"(SELECT 1 FROM vm_replication_contexts WHERE context_id = %s.vm_context_id)",
		table, table);
	buf_printf(
		&come,
		"UPDATE %s SET vm_context_id = (SELECT owner.vm_context_id FROM ossea_volumes AS owner "
		"JOIN vm_replication_contexts AS context ON context.context_id = owner.vm_context_id "
		"WHERE owner.volume_id = %s.volume_id LIMIT 1) WHERE vm_context_id IS NULL",
		table, table);
	fault = run_part(session, part, &gone, err);
	return fault == MARIADB_OK ? run_part(session, part, &come, err) : fault;
}

struct missed {
	struct mariadb_session *session;
	enum mariadb_fault fault;
	struct err *err;
};

/* Columns: volume_id, the device_path of its mapping. */
static bool note_missed(void *arg, char **row)
{
	struct missed *missed = arg;

	missed->fault = note_state(missed->session, row[0], row[1] ? "attached" : "detached",
				   row[1], missed->err);
	return missed->fault == MARIADB_OK;
}

/*
 * Rows that could not be written at their time. The hub has words of its own for the status, so a
 * row counts as missed by its path, or if it says the opposite. A path comes from the daemon alone:
 * a volume without a path is none of the daemon's.
 */
static enum mariadb_fault heal_states(struct mariadb_session *session, struct err *err)
{
	static const char sql[] =
		"SELECT owner.volume_id, mapping.device_path FROM ossea_volumes AS owner LEFT JOIN device_mappings AS "
		"mapping ON mapping.volume_id = owner.volume_id WHERE IF(mapping.id IS NULL, owner.status = 'attached' "
		"AND owner.device_path <> '', mapping.device_path <> '' AND (owner.status = 'detached' OR "
		"NOT owner.device_path <=> mapping.device_path))";
	struct missed missed = { .session = session, .err = err };
	enum mariadb_fault fault;

	if (!has(session, MARIADB_HUB_VOLUMES))
		return MARIADB_OK;
	fault = settle(session, MARIADB_HUB_VOLUMES,
		       query_bounded(session, sql, note_missed, &missed, err), err);
	return fault == MARIADB_OK ? missed.fault : fault;
}

enum mariadb_fault mariadb_hub_heal(struct mariadb_session *session, struct err *err)
{
	enum mariadb_fault fault =
		heal_table(session, MARIADB_HUB_MAPPINGS, "device_mappings", err);

	if (fault == MARIADB_OK)
		fault = heal_table(session, MARIADB_HUB_EXPORTS, "nbd_exports", err);
	if (fault == MARIADB_OK)
		fault = heal_states(session, err);
	return fault == MARIADB_OK ? take_snapshots(session, NULL, err) : fault;
}
