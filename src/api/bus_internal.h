/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the bus*.c files share. Nobody else includes this. */

#include <systemd/sd-bus.h>

#include "api/auth_bus.h"
#include "api/bus.h"
#include "io/bus_codec.h"
#include "io/bus_loop.h"

/* Calls under way, in all and from one sender; more are refused with ERR_TOO_MANY. */
#define CALLS_MAX 1024
#define CALLS_PER_SENDER_MAX 128
/* Completions kept while nobody can be told; of more than that the oldest are left out. */
#define MISSED_MAX 1000
/* Messages that wait for the bus to read; with more than this nothing is emitted. */
#define QUEUE_MAX 1000
/* With more volumes ObjectManager does not list them: that stalls the loop. ListVolumes pages. */
#define ENUMERATED_VOLUMES_MAX 2000

/* What a fallback object resolves to while sd-bus handles one message. */
struct bus_view {
	struct bus *bus;
	const void *object; /* a struct of the scope's record */
};

/* One D-Bus interface: the vtable built from methods[] and the texts it points to. */
struct bus_interface {
	const char *name; /* the table's */
	sd_bus_vtable *rows;
	size_t count; /* without the end mark */
	char **texts;
	size_t text_count;
};

/* An object whose PropertiesChanged is due. */
struct dirty_object {
	TAILQ_ENTRY(dirty_object) entry;
	enum method_scope scope;
	char *path;
};

/* An operation that ended while the name was not ours. */
struct missed_completion {
	TAILQ_ENTRY(missed_completion) entry;
	struct operation_record operation;
};

struct bus_call;

struct bus {
	struct loop *loop;
	struct core *core;
	struct bus_options options;
	char *address;

	sd_bus *sd_bus; /* NULL between two connections */
	struct bus_loop *bus_loop;
	struct auth_bus *auth;
	bool ready;
	bool absence_logged;
	int64_t backoff_ms;
	struct loop_timer retry_timer;
	struct loop_task name_lost_task;
	struct loop_task drop_task;
	char *name_lost_reason;

	struct bus_interface *interfaces[SCOPE_COUNT];

	TAILQ_HEAD(, bus_call) calls;
	size_t call_count;

	struct volume_record volume; /* what view[SCOPE_VOLUME] shows, */
	struct export_record export; /* and view[SCOPE_EXPORT] */
	struct bus_view view[SCOPE_COUNT];

	struct event_listener listener;
	TAILQ_HEAD(, dirty_object) dirty;
	void *dirty_tree; /* of tsearch(): the same objects by path */
	struct loop_task flush_task;
	struct loop_timer flush_timer;
	bool overflow_logged;
	TAILQ_HEAD(, missed_completion) missed; /* oldest first */
	size_t missed_count;
};

/* bus.c: the connection cannot be used any more; a new one is made later. */
void bus_drop(struct bus *bus);

/* bus_vtable.c */
struct bus_interface *bus_interface_new(enum method_scope scope);
struct bus_interface *bus_interface_free(struct bus_interface *interface);

/* bus_call.c: handlers for vtable rows, userdata is a struct bus_view */
int bus_on_method(sd_bus_message *m, void *userdata, sd_bus_error *error);
void bus_calls_cancel(struct bus *bus);

/* bus_objects.c */
int bus_objects_register(struct bus *bus);
char *bus_object_path(enum method_scope scope, const char *id); /* the caller frees it */
int bus_get_property(sd_bus *sd_bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error);
int bus_get_manager_property(sd_bus *sd_bus, const char *path, const char *interface, const char *property,
			     sd_bus_message *reply, void *userdata, sd_bus_error *error);

/* bus_signals.c */
struct bus_signal {
	const char *member;
	const char *signature;
	const char *names; /* of the arguments, each ended by a zero */
	const char *summary;
};
extern const struct bus_signal bus_signals[]; /* of the Manager, ended by a row without member */
void bus_signals_init(struct bus *bus);
/* The name is ours: completions of the time without it are told. */
void bus_signals_begin(struct bus *bus);
void bus_signals_reset(struct bus *bus);
void bus_signals_fini(struct bus *bus);
