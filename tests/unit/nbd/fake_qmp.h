/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A qemu-storage-daemon in memory, on the test's own loop: it has nodes and exports but serves
 * nothing. Each command can be made to go wrong in each way a peer can.
 */

#include "base/json.h"
#include "io/loop.h"

enum fake_fault {
	FAULT_NONE,
	FAULT_REFUSE, /* an error */
	FAULT_SULK,   /* an error without a reason */
	FAULT_HANG,   /* never answers */
	FAULT_LIE,    /* says yes and does nothing */
	FAULT_GARBAGE,
	FAULT_ENDLESS, /* a line without an end */
	FAULT_FOREIGN, /* first says what it owes somebody who hung up */
	FAULT_DIE,     /* closes in the middle of the answer */
};

struct fake_thing {
	char name[160]; /* of a node, or the id of an export */
	char node[64];  /* of an export */
	char path[256];
	bool read_only;
	bool in_use; /* has clients */
};

struct fake_qmp {
	struct loop *loop;
	char *path;
	struct evconnlistener *listener;
	struct bufferevent *stream;
	struct fake_thing nodes[16], exports[16];
	size_t node_count, export_count;
	const char *fault_command; /* "greeting", or a command */
	enum fake_fault fault;
	/* What it was told about TLS and its NBD server. */
	char tls_name[32], tls_dir[256];
	bool tls_verifies;
	char server_address[160], server_tls[32];
	const char *taken; /* an address where it cannot listen; NULL: none */
	struct buf heard;  /* all commands, blank-separated */
	char *held;        /* the last command FAULT_HANG left unanswered */
};

void fake_qmp_open(struct fake_qmp *fake, struct loop *loop, const char *path);
void fake_qmp_close(struct fake_qmp *fake);
void fake_qmp_hang_up(struct fake_qmp *fake);
/* The engine dies: what it had is gone. It listens still, as the next one. */
void fake_qmp_die(struct fake_qmp *fake);
struct fake_thing *fake_qmp_find(struct fake_qmp *fake, const char *export_name);
/* Answers what it left unanswered. -1: nothing. */
int fake_qmp_answer_late(struct fake_qmp *fake);
/* How often this command was heard. */
unsigned fake_qmp_heard(const struct fake_qmp *fake, const char *command);
