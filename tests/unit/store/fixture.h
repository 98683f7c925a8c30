/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A store under test: which one, how it is restarted, and how it is made to be away. The
 * file-backed one is really away: RLIMIT_FSIZE makes every write to its files fail as a broken disk
 * does, or its file system is filled up.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/loop.h"
#include "store/store.h"

struct fixture;

struct variant {
	const char *name;
	void (*set_up)(struct fixture *f);
	void (*open)(struct fixture *f);
	void (*reopen)(struct fixture *f);
	void (*set_away)(struct fixture *f, bool away);
	void (*tear_down)(struct fixture *f); /* may be NULL */
	/* "pending>executing:{…} …", the stored transitions of an operation, oldest first; the
	 * store is closed by it. */
	char *(*history)(struct fixture *f, const char *operation_id);
};
extern const struct variant variant_memory, variant_sqlite;
/* In a database of a server that fixture_mariadb_start() has started; false from that where none is
 * installed. */
extern const struct variant variant_mariadb;
bool fixture_mariadb_start(void);
/* As the server's root in the test's database; text: the rows, "a|b" a line. */
void fixture_mariadb_run(struct fixture *f, const char *sql);
/* Statements, each with ";" at the end of its last line; sql is cut into pieces. */
void fixture_mariadb_run_all(struct fixture *f, char *sql);
char *fixture_mariadb_text(struct fixture *f, const char *sql);
void fixture_mariadb_drop_all(struct fixture *f);
void assert_texts_differ(struct fixture *f); /* by every byte */
/* On a small file system of its own, which fixture_may_mount() must have allowed. */
extern const struct variant variant_sqlite_full;

/* The SQL that makes a store of an earlier version, with one of those that live and one of each
 * other kind in it. */
char *fixture_old_store(const char *dialect, unsigned version);
/* They are in there still, and what that version did not know can be kept as well. */
void fixture_assert_brought_up(struct fixture *f);

/* Enters a name space in which file systems can be mounted; false where that is not possible. */
bool fixture_may_mount(void);

/* The variant named on the command line. False when it cannot be had here: "skipped", 77 for
 * meson. */
bool fixture_choose(int argc, char **argv);
extern const struct variant *fixture_variant;

struct fixture {
	const struct variant *variant;
	struct loop *loop;
	struct store *store;
	char *folder;
	char *path;
	char *url;
};

/* A new empty folder is made for the file and removed again with everything in it. */
struct fixture *fixture_new(const struct variant *variant);
void fixture_free(struct fixture *f);
void fixture_open(struct fixture *f);          /* f->url, must work */
struct err fixture_refused(struct fixture *f); /* f->url must not open: why */
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);
/* For cmocka, with the chosen variant. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* Turns the loop until *flag. */
void fixture_wait(struct fixture *f, const bool *flag);
void fixture_wait_well(struct fixture *f); /* until health says that the store is back */
struct store_health fixture_health(const struct fixture *f);

/* What a batch was answered. */
struct answer {
	struct loop *loop;
	bool done;
	unsigned calls;
	unsigned order; /* the how manieth answer of all it was, from 1 */
	struct err err;
};
void fixture_submit(struct fixture *f, struct store_batch *batch, struct answer *answer);
void fixture_wait_answer(struct fixture *f, const struct answer *answer);
/* Submits and waits. */
struct err fixture_commit(struct fixture *f, struct store_batch *batch);

/* What a read was answered; items are copies. */
struct list {
	struct loop *loop;
	struct store *store; /* the test's to use */
	bool done;
	struct err err;
	struct operation_record *items;
	size_t count;
	bool more;
};
#define LIST_ANY                                                                                   \
	{                                                                                          \
		.type = -1, .status = -1, .limit = 100                                             \
	}
void list_on_done(void *arg, const struct store_operations *result);
void list_clear(struct list *list);
struct list fixture_list(struct fixture *f, const struct store_operation_filter *filter);
struct list fixture_find(struct fixture *f, const char *id);
struct store_loaded fixture_load(struct fixture *f);

void assert_ok(struct err err);

#define VM_A "aaaaaaaa-0000-4000-8000-000000000000"
#define VM_B "bbbbbbbb-0000-4000-8000-000000000000"

/* Batches. */
void make_operation(struct operation_record *operation, const char *id, int status,
		    const char *volume_id);
void put_operation(struct store_batch *batch, const char *id, int status, const char *volume_id,
		   int64_t updated_at);
void put_mapping(struct store_batch *batch, const char *volume_id, const char *vm_id,
		 const char *device_path);
void put_name(struct store_batch *batch, const char *volume_id, const char *name);
void put_export(struct store_batch *batch, const char *volume_id, const char *export_name);
struct store_batch *batch_with_operation(const char *id, int status);
struct store_batch *batch_with_mapping(const char *volume_id, const char *vm_id,
				       const char *device_path);
/* A value of its own in every field of the record, and JSON to compare records by. */
void fill_record(const struct record *record, void *object, int seed);
void assert_same(const struct record *record, const void *a, const void *b);
