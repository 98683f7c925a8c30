/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * QMP, QEMU's control protocol: JSON values, one per line, over a unix socket. One command is under
 * way at a time.
 *
 * The peer is not trusted to be sane: a line has a maximum length, and a line that is not JSON, not
 * an object, or an answer without a command ends the connection.
 */

#include <sys/types.h>

#include "base/json.h"
#include "io/loop.h"

struct qmp;

struct qmp_handler {
	/* commands may be sent from now on */
	void (*ready)(void *arg);
	void (*event)(void *arg, const char *name, const struct json *data); /* data may be NULL */
	/* by the peer, or it made no sense */
	void (*closed)(void *arg, const struct err *err);
};

/* result is NULL if err->code is not ERR_NONE; then err->text holds the peer's words alone. */
typedef void (*qmp_reply_fn)(void *arg, const struct json *result, const struct err *err);

/*
 * Connects and greets. NULL: no process listens there (ERR_NOT_FOUND), or there is another fault
 * (ERR_UNAVAILABLE). No deadline is kept here. Any callback may close it.
 */
struct qmp *qmp_open(struct loop *loop, const char *path, const struct qmp_handler *handler,
		     void *arg, struct err *err);
struct qmp *qmp_close(struct qmp *qmp); /* no callback runs any more; returns NULL, takes NULL */
pid_t qmp_pid(const struct qmp *qmp);   /* of the process that listens */

/* arguments is a JSON object, or NULL. The reply never comes if the connection is closed. */
void qmp_send(struct qmp *qmp, const char *command, const char *arguments, qmp_reply_fn reply,
	      void *arg);
bool qmp_is_busy(const struct qmp *qmp); /* a reply is awaited */
