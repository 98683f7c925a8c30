/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Inside the MariaDB backend: the url, a session (one connection, on one thread at a time), statements and rows, and the
 * schema. libmariadb blocks, so all of it but the url runs on the threads of lanes, or at start before there are any.
 */

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <stdatomic.h>

#include "base/secret.h"
#include "base/uuid.h"
#include "store/migrate.h"
#include "store/sql.h"

/* ---- the url ---- */

enum mariadb_tls { MARIADB_TLS_OFF, MARIADB_TLS_ON, MARIADB_TLS_VERIFY };

struct mariadb_host {
	char *name; /* NULL: the socket */
	unsigned port;
};

struct mariadb_url {
	struct mariadb_host *hosts; /* in the order they are tried, at least one */
	size_t host_count;
	char *user;
	char *database;
	char *socket;
	enum mariadb_tls tls;
	char *ca, *cert, *key; /* PEM files, NULL: the system's, none, none */
	char *shown;           /* for logs and errors; holds no secret since the url may not */
};

#define MARIADB_EXAMPLE "mariadb://volumed@db1.example.org,db2.example.org/volumes"

/* "mariadb://user@host[:port],…/database?option=value&…". A password in it is refused. */
int mariadb_url_parse(const char *text, struct mariadb_url *out, struct err *err);
void mariadb_url_clear(struct mariadb_url *url);

/* ---- a session ---- */

/* What the sessions of a store share: all of them stay with one host, so that each reads what the others have written. */
struct mariadb_cluster {
	struct mariadb_url url;
	const struct secret *password; /* the caller's, NULL for none */
	atomic_uint host;
	char holder[UUID_TEXT_SIZE]; /* our word in the lease, "" before it is ours */
	atomic_bool lost;            /* the lease, for good */
};

#define MARIADB_WRITERS 4

struct mariadb_statements {
	MYSQL_STMT *put[STORE_TABLE_COUNT];
	MYSQL_STMT *update[STORE_TABLE_COUNT];
	MYSQL_STMT *remove[STORE_TABLE_COUNT];
	MYSQL_STMT *list[1 << SQL_CLAUSE_COUNT];
};

struct mariadb_session {
	struct mariadb_cluster *cluster;
	unsigned lane; /* below MARIADB_WRITERS, of one that writes */
	bool guards;   /* holds the lock that keeps a second daemon out */
	bool patient;  /* waits for as long as the server lives, as long as that takes, and says so in the log */
	MYSQL *mysql;  /* NULL while there is no connection */
	unsigned host;
	unsigned code; /* of the last error */
	struct mariadb_statements statements;
};

/* Connects where there is no connection, or where the other sessions have left its host. -1: no host can be used. */
int mariadb_ready(struct mariadb_session *session, struct err *err);
/* Closes; the next host is tried first. */
void mariadb_leave(struct mariadb_session *session);
void mariadb_close(struct mariadb_session *session);

/* What an error of the server or of the connection means. */
enum mariadb_fault {
	MARIADB_OK,
	MARIADB_OWN,   /* these rows cannot be stored; the connection and others are well */
	MARIADB_AGAIN, /* rolled back for the sake of another transaction: the same will work */
	MARIADB_AWAY,  /* this server cannot do it now; also what cannot be told apart */
};
enum mariadb_fault mariadb_fault_of(unsigned code);
/* "the store … cannot be used: …; advice" from the session's last error. Returns the fault. */
enum mariadb_fault mariadb_set_error(struct mariadb_session *session, unsigned code, const char *text, struct err *err);

/* One statement in text; constant but for names the schema knows. */
enum mariadb_fault mariadb_run(struct mariadb_session *session, const char *sql, struct err *err);
/* The same, with the rows as texts (NULL for NULL) handed to row(); false from it ends the list. */
typedef bool (*mariadb_row_fn)(void *arg, char **columns);
enum mariadb_fault mariadb_query(struct mariadb_session *session, const char *sql, mariadb_row_fn row, void *arg,
				 struct err *err);
/* The first column of the first row as a number; 0 when there is none or it is NULL. */
enum mariadb_fault mariadb_number(struct mariadb_session *session, const char *sql, uint64_t *out, struct err *err);
/* 'text' with everything special escaped. */
void mariadb_quote(struct mariadb_session *session, struct buf *sql, const char *text);

/* ---- the lease: one daemon a database ---- */

/* For a session that guards, when it has connected. ERR_CONFLICT: another daemon has the lock or the lease. */
enum mariadb_fault mariadb_lease_guard(struct mariadb_session *session, struct err *err);
/* At start, with such a session: makes the database ours. May wait for seconds to see whether another daemon lives. */
int mariadb_lease_take(struct mariadb_session *session, struct err *err);
/* The first statement of every transaction. ERR_CONFLICT: the lease is another daemon's, we are to write nothing more. */
enum mariadb_fault mariadb_lease_write(struct mariadb_session *session, struct err *err);

/* ---- rows ---- */

enum mariadb_fault mariadb_apply(struct mariadb_session *session, const struct store_change *change, struct err *err);
enum mariadb_fault mariadb_list(struct mariadb_session *session, struct store_read *read, struct err *err);
enum mariadb_fault mariadb_load(struct mariadb_session *session, struct store_loaded *out, struct err *err);
/* A page of store_scan(). */
enum mariadb_fault mariadb_scan(struct mariadb_session *session, enum store_table table, const char *after_id,
				size_t limit, store_row_fn fn, void *arg, struct err *err);
/* The volume that has what the change wants for its own; NULL when none has or it cannot be told. */
char *mariadb_owner(struct mariadb_session *session, const struct store_change *change);
void mariadb_statements_clear(struct mariadb_statements *statements);

/* ---- ossea_configs, another program's ---- */

/* The row that counts, unless its mark is the one given. */
void mariadb_access(struct mariadb_session *session, const char *mark, struct store_access *out);

/* ---- schema ---- */

struct mariadb_column {
	const char *name;
	const char *definition;
};

struct mariadb_key {
	const char *name;    /* NULL ends a list */
	const char *columns; /* "vm_id, device_path" */
	bool unique;
};

struct mariadb_table {
	unsigned version; /* that makes it */
	const char *name;
	const struct mariadb_column *columns; /* the first is the primary key; ended by one without a name */
	const struct mariadb_key *keys;
	const char *parent;       /* the table that operation_id refers to, or NULL */
	const char *const *types; /* the words we know in the column type, or NULL */
};

/*
 * Makes a table that is there already, from whatever daemon, one of ours: its rows and its other columns stay. Rows that
 * cannot stand beside others in a unique key, whose parent is missing, whose type nobody knows or whose texts are too long, are moved to <name>_set_aside, each with
 * a line in the log. Can be run again after it was interrupted anywhere.
 */
enum mariadb_fault mariadb_adopt(struct mariadb_session *session, const struct mariadb_table *table, struct err *err);
/* Brings the schema up and tries out the user's rights. */
int mariadb_migrate(struct mariadb_session *session, struct err *err);
