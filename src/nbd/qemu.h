/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the life of qemu-storage-daemon (export_qemu.c) and what is done with it (export_qemu_work.c). */

#include "io/process.h"
#include "nbd/backing.h"
#include "nbd/engine.h"
#include "nbd/qmp.h"

#define QEMU_NODE_SIZE 32

/* An export or a block node the engine has, as it was last looked at. */
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

/* The call under way. */
struct qemu_work {
	struct export_call *call; /* NULL: none, or nobody waits for it any more */
	struct qemu_export *exports;
	size_t export_count;
	struct qemu_node *nodes;
	size_t node_count;
	struct backing device;
	char node[QEMU_NODE_SIZE];    /* made for an export that is being added; "" when there is none */
	char leaving[QEMU_NODE_SIZE]; /* of an export that was removed: its device must be closed, too */
	bool added;                   /* the engine said so */
	bool answers;                 /* the device, to a read */
	struct err err;               /* why the export could not be added; its node is taken back */
	struct probe *probe;
	struct clients_scan *look;
	struct loop_timer again; /* looks again */
};

struct qemu {
	struct exporter *exporter;
	char *socket;
	bool is_foreign; /* somebody else runs it */
	enum { QEMU_AWAY, QEMU_CONNECTING, QEMU_GREETING, QEMU_OPENING, QEMU_UP } stage;
	struct qmp *qmp;
	struct process *process; /* not of a foreign one */
	bool is_fresh;           /* the process was started here and has never been up: it serves nobody */
	bool was_set_up;         /* a fresh one, at the last look */
	bool was_dismissed;      /* the process was told to end, and the reason for that was told */
	pid_t listener;          /* who listens on the socket, as far as is known */
	pid_t pid;               /* of the one that was up last */
	struct loop_timer timer; /* of the stages before UP */
	int64_t until_ms;
	int64_t sent_ms; /* the last command */
	unsigned nodes_made;
	struct qemu_work work;
};

void qemu_work_init(struct qemu *qemu);
void qemu_work_begin(struct qemu *qemu, struct export_call *call);
void qemu_work_abandon(struct qemu *qemu);
void qemu_work_event(struct qemu *qemu, const char *name);
bool qemu_work_is_idle(const struct qemu *qemu);
/* What was looked at belongs to an engine that is gone. */
void qemu_work_reset(struct qemu *qemu);
void qemu_send(struct qemu *qemu, const char *command, const char *arguments, qmp_reply_fn reply);
