/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is done with a qemu-storage-daemon that is up. Private to nbd/. */

#include "nbd/backing.h"
#include "nbd/engine.h"
#include "nbd/qmp.h"

#define QEMU_NODE_SIZE 32

/* An export or a block node the engine has, as it was last told. */
struct qemu_export {
	char *id;
	char *name;     /* NULL: not one of ours */
	char *identity; /* of the device it was made for */
	char node[QEMU_NODE_SIZE];
	bool going; /* removed, but its clients are still being got rid of */
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
	struct export_call *call; /* NULL: none, or nobody waits for it any more */
	struct qemu_export *exports;
	size_t export_count;
	struct qemu_node *nodes;
	size_t node_count;
	struct backing device;
	/* made for an export that is being added; "" when there is none */
	char node[QEMU_NODE_SIZE];
	/* of an export that was removed: its device must be closed, too */
	char leaving[QEMU_NODE_SIZE];
	bool added;   /* the engine said so */
	bool answers; /* the device, to a read */
	/* why the export could not be added; its node is taken back */
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
/* What was told belongs to an engine that is gone. */
void qemu_verbs_reset(struct qemu_verbs *verbs);
/* reply gets arg. */
void qemu_verbs_send(struct qemu_verbs *verbs, const char *command, const char *arguments,
		     qmp_reply_fn reply, void *arg);
