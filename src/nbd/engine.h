/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The common part of all engines, between the interface above (exporter.c) and the kinds of engines
 * below (qemu.c, nbdkit.c). Private to nbd/.
 *
 * It keeps the calls, their deadlines and the pauses between attempts; calls attempt() of a kind of
 * engine until the kind calls engine_up(), and gives it one call at a time while it is up. The
 * answer of a kind reaches the caller on a later turn, so a kind need not mind the actions of
 * done().
 */

#include "base/queue.h"
#include "disk/probe.h"
#include "io/address.h"
#include "nbd/clients.h"
#include "nbd/exporter.h"
#include "nbd/handshake.h"
#include "nbd/pulse.h"

enum export_verb { EXPORT_ADD, EXPORT_REMOVE, EXPORT_LIST, EXPORT_CHECK };

struct export_call {
	TAILQ_ENTRY(export_call) entry; /* in one of the engine's lists */
	struct engine *engine;
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
	struct handshake *handshake;
	int handshake_port; /* 0: none */
	enum { CALL_WAITING, CALL_RUNNING, CALL_ENDED } stage;

	/* The result. Texts of items are the call's. */
	struct err err;
	struct export_seen *items;
	size_t item_count;
};
TAILQ_HEAD(export_calls, export_call);

struct engine;

struct engine_ops {
	const char *program; /* "qemu-storage-daemon" */
	const char *package; /* of Debian */
	/* The kind's own options; NULL: there are none. */
	int (*check)(const struct exporter_options *options, const struct address *address,
		     struct err *err);
	/* Starts nothing; the options are right. */
	void *(*open)(struct engine *engine, struct err *err);
	void (*close)(void *self);   /* stops our own process; may wait for that */
	void (*attempt)(void *self); /* ends in engine_up() or engine_down() */
	bool (*is_idle)(const void *self);
	void (*begin)(void *self, struct export_call *call); /* only while it is up and idle */
	/* no caller waits for its call any more */
	void (*abandon)(void *self);
	int (*pid)(const void *self);
	/* a fault although the engine is up; NULL if none */
	const char *(*trouble)(const void *self);
};

struct engine {
	/* for its kind */
	struct loop *loop;
	const struct exporter_options *options;
	struct address address;
	struct ssl_ctx_st *tls; /* of our handshakes; NULL: none */
	struct clients *clients;
	struct prober *prober;

	/* engine.c's own */
	const struct engine_ops *ops;
	void *self; /* of the kind */
	enum { ENGINE_STARTING, ENGINE_UP, ENGINE_DOWN } state;
	char reason[ERR_TEXT_SIZE]; /* of being down */
	bool is_taken;              /* down because another program listens on the address */
	bool chose_port;            /* the configuration names none */
	uint64_t restarts;
	bool was_up; /* ever */
	int64_t pause_ms;
	int64_t up_since_ms;
	int64_t seen_ms;  /* clock_mono_ms() of its last sign of life */
	const char *seen; /* which sign that was; NULL: none yet */
	struct loop_timer attempt_timer;
	struct loop_task lost_task;
	struct pulse pulse;

	struct export_calls waiting; /* for the engine */
	struct export_calls others;  /* running handshakes, and ended calls whose answer is due */
	struct export_call *current; /* the engine works on it */
	struct loop_task pump_task;
};

/* ---- for the exporter ---- */

/* options are borrowed, and so are address and tls, which its owner sets before engine_open(). */
void engine_init(struct engine *engine, struct loop *loop, const struct exporter_options *options);
int engine_open(struct engine *engine, const struct engine_ops *ops, struct err *err);
/* Attempts come from the next turn on. */
int engine_start(struct engine *engine, struct err *err);
/* cancels all calls; also after an engine_open() that failed or was not made */
void engine_fini(struct engine *engine);
void engine_health(const struct engine *engine, struct export_health *out);
/* See exporter_look(). */
void engine_look(struct engine *engine);

/*
 * Puts a call in line; the caller sets its further arguments and done or listed before the loop
 * turns.
 */
struct export_call *engine_call_new(struct engine *engine, enum export_verb verb, const char *name,
				    void *arg);
/* Ends a call that has not ended: answered on a later turn. err NULL or ERR_NONE: as asked. */
void engine_call_end(struct export_call *call, const struct err *err);
void engine_call_cancel(struct export_call *call);

/* ---- for its kind ---- */

/* Gives an address without a port a free one. */
int engine_choose_port(struct engine *engine, struct err *err);
/* Before an engine has ever listened: another program took the port that engine_choose_port() had
 * chosen, and the address has another one now. */
bool engine_chose_again(struct engine *engine);
/* The engine can take calls. is_new: another engine than before, which may serve nothing. */
void engine_up(struct engine *engine, bool is_new);
/*
 * The engine can take no calls, for this reason; attempt() comes again after a pause. Ends the
 * current call, if there is one.
 */
void engine_down(struct engine *engine, const char *format, ...) _printf_(2, 3);
/*
 * The same after the engine could not listen: the reason is another program that listens on the
 * address, if there is one, else `why`, which follows "cannot serve on ADDRESS: ".
 */
void engine_refused(struct engine *engine, const char *why);
/* A better reason why the engine is down, which came later. */
void engine_explain(struct engine *engine, const char *reason);
/* Ends the current call; err NULL or ERR_NONE: as asked. */
void engine_end(struct engine *engine, const struct err *err);
/* The engine has become idle: there may be a call for it. */
void engine_idle(struct engine *engine);
/* Adds to the current call's list. */
void engine_add_item(struct engine *engine, const char *name, const char *device_path,
		     bool read_only, const struct export_client *clients, size_t count,
		     bool certain);
/* "export X is in use by NBD client A, B"; certain: the clients are this export's. */
void engine_in_use(struct err *err, const char *name, const struct export_client *clients,
		   size_t count, bool certain);
