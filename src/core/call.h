/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one door into core. A surface decodes arguments into the method's argument struct, names the
 * caller, and gets exactly one answer on a later turn. The checks that hold for all callers
 * (access, required arguments, bounds, the presence of store and CloudStack) are made here and
 * nowhere else.
 */

#include <sys/types.h>

#include "base/err.h"
#include "spec/methods.h"

struct call;
struct core;

/* A surface refuses to send a larger answer: the D-Bus daemon would end the connection at 32 MiB.
 */
#define ANSWER_SIZE_MAX ((size_t)16 << 20)

struct caller {
	const char *surface;       /* "rest" or "bus"; a literal */
	enum method_access access; /* the most this caller may do */
	/* Who it is, as far as the surface knows: the log and the history of operations name it. */
	bool has_uid;
	uid_t uid;
	/* of the token that it showed; these are copied, and NULL if there is none */
	const char *token;
	const char *bus_name; /* ":1.42" */
	const char *address;  /* "127.0.0.1:40312" */
};

/*
 * The caller has shown this token: fills in its name, valid until the next turn, and the access
 * that it allows. False: there is no such token.
 */
bool caller_show_token(struct core *core, const char *text, struct caller *caller);

struct answer {
	const struct err *err;       /* NULL: the call succeeded */
	const struct record *record; /* of each item */
	const void *items;           /* count structs in a row, valid during the callback */
	size_t count;                /* 1 for ANSWER_ONE and ANSWER_OPERATION */
	const char *next_cursor;     /* ANSWER_MANY: where the next page starts, NULL on the last */
	/* volume.list: clock_mono_ms() when CloudStack was asked for the list, 0 it was not */
	int64_t listed_ms;
	const char *list_subject; /* the value of the argument that method.list_subject names */
	bool unhealthy;           /* health.get: answer 503, with the record */
};

typedef void (*call_done_fn)(void *arg, const struct answer *answer);

/*
 * args is a struct of methods[id].args and is copied. done runs exactly once, unless the call is
 * cancelled, and never from inside call_start(). An operation that was begun goes on, even if its
 * call is cancelled.
 */
struct call *call_start(struct core *core, enum method_id id, const void *args,
			const struct caller *caller, call_done_fn done, void *arg);
void call_cancel(struct call *call); /* the asker has left; not from inside done */
/*
 * The asker waits no longer, but still takes an answer: a call that waits for the end of an
 * operation is answered on the next turn with the operation as it is. Other calls go on.
 */
void call_hurry(struct call *call);

/* The i-th item of an answer. */
static inline const void *answer_item(const struct answer *answer, size_t index)
{
	return (const char *)answer->items + index * answer->record->size;
}
