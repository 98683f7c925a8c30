/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs on a qemu-storage-daemon that is up. Private to nbd/. */

#include "nbd/backing.h"
#include "nbd/engine.h"
#include "nbd/qmp.h"

#define QEMU_NODE_SIZE 32

/* An export or a block node of the engine, as last reported. */
struct qemu_export {
	char *id;
	char *name;     /* NULL: not one of ours */
	char *identity; /* of the device it was made for */
	char node[QEMU_NODE_SIZE];
	bool going; /* removed, but its clients are still being disconnected */
};

struct qemu_node {
	char name[QEMU_NODE_SIZE];
	char *path;
	bool read_only;
	bool kept; /* it cannot be removed now */
	uint64_t size;
};

struct qemu_verbs {
	struct engine *engine;
	struct qmp *qmp; /* NULL: no connection; its owner's */
	int64_t sent_ms; /* the last command */
	unsigned nodes_made;

	/* the call under way */
	struct export_call *call; /* NULL: none, or no caller waits for it any more */
	struct qemu_export *exports;
	size_t export_count;
	struct qemu_node *nodes;
	size_t node_count;
	struct backing device;
	/* made for an export that is being added; "" when there is none */
	char node[QEMU_NODE_SIZE];
	/* of an export that was removed: its device must be closed, too */
	char leaving[QEMU_NODE_SIZE];
	bool added;   /* the engine has reported that */
	bool answers; /* the device has answered a read */
	/* why the export could not be added; its node is removed again */
	struct err err;
	struct probe *probe;
	struct clients_scan *scan;
	struct loop_timer again; /* queries again */
};

void qemu_verbs_init(struct qemu_verbs *verbs, struct engine *engine);
void qemu_verbs_begin(struct qemu_verbs *verbs, struct export_call *call);
void qemu_verbs_abandon(struct qemu_verbs *verbs);
void qemu_verbs_event(struct qemu_verbs *verbs, const char *name);
bool qemu_verbs_is_idle(const struct qemu_verbs *verbs);
/* Forgets the reports of an engine that is gone. */
void qemu_verbs_reset(struct qemu_verbs *verbs);
/* reply gets arg. */
void qemu_verbs_send(struct qemu_verbs *verbs, const char *command, const char *arguments,
		     qmp_reply_fn reply, void *arg);
