/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between the interface (export.c) and its engines.
 *
 * The exporter keeps the calls, their deadlines and the pauses between attempts; an engine is told attempt() until it
 * says exporter_up(), and is given one call at a time while it is up. Whatever an engine answers reaches the caller on a
 * later turn, so engines need not think about what done() may do.
 */

#include <sys/queue.h>

#include "disk/probe.h"
#include "io/address.h"
#include "nbd/clients.h"
#include "nbd/exporter.h"
#include "nbd/handshake.h"

#define EXPORT_NAME_MAX 200

enum export_verb { EXPORT_ADD, EXPORT_REMOVE, EXPORT_LIST, EXPORT_CHECK };

struct export_call {
	TAILQ_ENTRY(export_call) entry; /* in one of the exporter's lists */
	struct exporter *exporter;
	enum export_verb verb;
	char *name;
	char *device_path;
	bool read_only;
	bool force;
	uint64_t size;
	export_done_fn done;
	export_listed_fn listed;
	void *arg;
	int64_t since_ms;
	struct loop_timer deadline;
	struct loop_task answer; /* calls done() */
	struct handshake *check;
	int check_port; /* 0: none */
	enum { CALL_WAITING, CALL_RUNNING, CALL_ENDED } stage;

	/* The result. Texts of items are the call's. */
	struct err err;
	struct export_seen *items;
	size_t item_count;
};
TAILQ_HEAD(export_calls, export_call);

struct export_engine_ops {
	const char *program; /* "qemu-storage-daemon" */
	const char *package; /* of Debian */
	void *(*open)(struct exporter *exporter,
		      struct err *err); /* checks what is its own in the options; starts nothing */
	void (*close)(void *engine);    /* stops what is ours; may wait for that */
	void (*attempt)(void *engine);  /* ends in exporter_up() or exporter_down() */
	bool (*is_idle)(const void *engine);
	void (*begin)(void *engine, struct export_call *call); /* only while it is up and idle */
	void (*abandon)(void *engine);                         /* nobody waits for the call it has any more */
	int (*pid)(const void *engine);
	const char *(*trouble)(const void *engine); /* what is not well although it is up; NULL when nothing is */
};
extern const struct export_engine_ops export_qemu_ops, export_nbdkit_ops;

struct exporter {
	struct loop *loop;
	struct exporter_options options; /* texts are copies */
	struct address address;
	struct ssl_ctx_st *tls; /* of our handshakes; NULL: none */
	struct clients *watch;
	struct prober *prober;

	const struct export_engine_ops *ops;
	void *engine;
	enum { EXPORTER_STARTING, EXPORTER_UP, EXPORTER_DOWN } state;
	char reason[256]; /* of being down */
	uint64_t restarts;
	bool was_up; /* ever */
	int64_t pause_ms;
	int64_t up_since_ms;
	struct loop_timer attempt_timer;
	struct loop_task lost_task;

	struct export_calls waiting; /* for the engine */
	struct export_calls others;  /* running checks, and what has ended and is to be told */
	struct export_call *current; /* the engine's */
	struct loop_task pump_task;
};

/* ---- for engines ---- */

/* It can take calls. is_new: another one than before, which may serve nothing. */
void exporter_up(struct exporter *exporter, bool is_new);
/* It can't, for this reason; attempt() comes again after a pause. Ends the current call, if there is one. */
void exporter_down(struct exporter *exporter, const char *format, ...) _printf_(2, 3);
/* A better reason for having gone down, which came later. */
void exporter_explain(struct exporter *exporter, const char *reason);
/* Ends the current call; err NULL or ERR_NONE: as asked. */
void exporter_end(struct exporter *exporter, const struct err *err);
/* It has become idle: there may be a call for it. */
void exporter_idle(struct exporter *exporter);
/* Adds to the current call's list. */
void exporter_add_item(struct exporter *exporter, const char *name, const char *device_path, bool read_only,
		       const struct export_client *clients, size_t count, bool certain);
/* "export X is in use by NBD client A, B"; certain: they are this export's. */
void export_in_use(struct err *err, const char *name, const struct export_client *clients, size_t count, bool certain);

/* ---- TLS ---- */

/* For our handshakes, with what is in the folder. Blocks for reading three small files. */
struct ssl_ctx_st *tls_open(const char *tls_dir, struct err *err);
/* True when clients must show a certificate: the folder has one for us, too. */
bool tls_verifies_clients(const char *tls_dir);
void tls_close(struct ssl_ctx_st *tls);
