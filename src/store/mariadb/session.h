/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A session: one connection to a database server, on one thread at a time. libmariadb blocks, so
 * sessions are used on the threads of writers, or at start before there are any.
 */

#include <mysql.h>
#include <stdatomic.h>

#include "base/secret.h"
#include "base/uuid.h"
#include "store/mariadb/url.h"
#include "store/sql.h"

/* The kinds of an error of the server or of the connection. */
enum mariadb_fault {
	MARIADB_OK,
	MARIADB_OWN,   /* these rows cannot be stored; the connection and other rows are well */
	MARIADB_AGAIN, /* rolled back for the sake of another transaction: a second run will work */
	MARIADB_AWAY,  /* this server cannot do the work now; also errors of an unclear kind */
};

/* What is done for the hub, see hub.c: each part can be out of reach. */
enum mariadb_hub_part {
	MARIADB_HUB_MAPPINGS,
	MARIADB_HUB_EXPORTS,
	MARIADB_HUB_VOLUMES,
	MARIADB_HUB_SNAPSHOTS,
	MARIADB_HUB_CONTEXTS,
	MARIADB_HUB_PART_COUNT
};

/*
 * Shared by the sessions of a store: all of them stay with one host, so that each reads the rows
 * that the others have written.
 */
struct mariadb_cluster {
	struct mariadb_url url;
	const struct secret *password; /* the caller's, NULL for none */
	atomic_uint host;
	char holder[UUID_TEXT_SIZE]; /* this daemon's word in the lease, "" before */
	atomic_bool lost;            /* the lease is lost, for good */
	atomic_bool hub[MARIADB_HUB_PART_COUNT];
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
	unsigned writer; /* of a session that writes: below MARIADB_WRITERS */
	/* each statement belongs to a transaction, which the first statement begins: a round trip
	 * less than with a statement for that */
	bool in_transactions;
	/* waits for as long as the server lives, and says so in the log */
	bool patient;
	/*
	 * Called when the session has connected; the connection is not used if the function fails.
	 * May be NULL.
	 */
	enum mariadb_fault (*connected)(struct mariadb_session *session, struct err *err);
	MYSQL *mysql; /* NULL while there is no connection */
	unsigned host;
	unsigned code;       /* of the last error */
	bool hub_waited;     /* this transaction has waited for the hub, see hub.c */
	uint64_t packet_max; /* bytes in a statement that the server takes */
	struct mariadb_statements statements;
};

/*
 * Connects if there is no connection, or if the other sessions have left its host. -1: no host can
 * be used.
 */
int mariadb_ready(struct mariadb_session *session, struct err *err);
/* Closes; the next host is tried first. */
void mariadb_leave(struct mariadb_session *session);
void mariadb_close(struct mariadb_session *session);

/* One statement in text; constant but for names that the schema knows. */
enum mariadb_fault mariadb_run(struct mariadb_session *session, const char *sql, struct err *err);
/*
 * The same, with the rows as texts (NULL for NULL) handed to row(); false from row() ends the list.
 */
typedef bool (*mariadb_row_fn)(void *arg, char **columns);
enum mariadb_fault mariadb_query(struct mariadb_session *session, const char *sql,
				 mariadb_row_fn row, void *arg, struct err *err);
/* The first column of the first row as a number; 0 if there is no row or the column is NULL. */
enum mariadb_fault mariadb_number(struct mariadb_session *session, const char *sql, uint64_t *out,
				  struct err *err);
/* 'text' with everything special escaped. */
void mariadb_quote(struct mariadb_session *session, struct buf *sql, const char *text);
