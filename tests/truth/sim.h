/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A world of which everything is known: the appliance's kernel, CloudStack, whoever meddles, and
 * the daemon's core in the middle. All chance comes from one seed, all time from a clock that jumps
 * from one timer to the next.
 */

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "core/core.h"
#include "core/core_parts.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/methods/call.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "fake_server.h"
#include "nbd/exporter.h"
#include "store/memory/memory.h"

#define DISKS_MAX 26 /* vda to vdz */
#define VOLUMES_MAX 16
#define ASKS_MAX 64
#define DEVICE_WAIT_MS 60000

/* ---- chance ---- */

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
/* From low to high, both included. */
int64_t random_between(struct random *random, int64_t low, int64_t high);
bool random_percent(struct random *random, unsigned percent);

/* ---- the kernel as it really is ---- */

struct disk {
	bool there;
	uint64_t inode, diskseq, size;
	char serial[64];      /* "" it has none */
	int64_t serial_at_ms; /* when the serial can first be read */
	bool held;            /* somebody has mounted it */
	/* whose it was a moment ago, for what is told in the very instant in which the disk goes */
	const struct fake_volume *left;
	int64_t left_ms;
};

struct sim;

struct sim_kernel {
	struct fake_kernel face; /* what fake_server.c knows of it; unused */
	struct sim *sim;
	struct disk disks[DISKS_MAX];
	uint64_t last_inode, last_diskseq;
	unsigned boots;
	uint64_t generation;      /* of changes */
	unsigned lost_percent;    /* of uevents */
	bool in_order;            /* a new disk gets the first free name */
	struct sysblock *watcher; /* of the daemon that runs */
};

void sim_kernel_init(struct sim_kernel *kernel, struct sim *sim);
/* Anew from the firmware: other names, counted from 1. */
void sim_kernel_reboot(struct sim_kernel *kernel);
void disk_name(size_t index, char name[16]);
/* -1 when it is no name of a disk. */
int disk_index(const char *name);
/* What the kernel shows of its identity at this moment. */
void disk_read_identity(const struct disk *disk, struct device *device);

/* ---- opening.c ---- */

struct open_score {
	unsigned long given, refused;
	unsigned long swaps; /* names that changed hands while their disk was opened */
};
extern struct open_score open_score;

/* The open disk is the volume's. */
bool opened_is_of(int fd, const char *volume_id);

/* ---- what was asked of the daemon ---- */

struct ask {
	struct sim *sim;
	struct call *call; /* NULL once answered */
	enum method_id method;
	char volume_id[37], vm_id[37], name[32], operation_id[48];
	bool ended;
	bool forgotten; /* the answer got lost with the daemon */
};

/* How the attachments of a rule went. */
struct score {
	unsigned long asked, right, wrong, none, ambiguous;
};

enum rule { RULE_OURS, RULE_FIRST_NEW, RULE_SAME_SIZE, RULE_COUNT };

/* What a naive tool would do about one attachment. */
struct naive {
	const struct fake_volume *volume;
	const struct ask *ask;
	uint64_t after_diskseq;
	int64_t done_ms; /* when CloudStack was done with it, 0 not yet */
	bool named[RULE_COUNT];
};

struct sim {
	uint64_t seed;
	bool verbose;
	bool tracing;   /* trace is worked out, which costs time */
	uint64_t trace; /* of all that happened so far */
	struct random chance;
	struct sim_kernel kernel;
	struct fake_server server;
	struct loop *loop;
	struct store *store;
	struct cloud *cloud;
	struct core *core; /* NULL while the daemon is down */
	struct core_options options;
	struct event_listener listener;
	struct ask asks[ASKS_MAX];
	size_t ask_count;
	uint64_t uuids;
	bool store_away;
	/* changed behind the daemon's back, by the number in its id */
	bool meddled[VOLUMES_MAX + 1];
	bool left_over; /* the undo of some operation has failed */
	bool cleared;   /* CloudStack has forgotten an attachment whose disk stays */
	bool rebooted;
	struct naive naives[ASKS_MAX];
	size_t naive_count;
	/* the disks the size rule has given away */
	const struct fake_volume *size_named[DISKS_MAX];
	uint64_t size_named_seq[DISKS_MAX];
	char failure[512]; /* "" none */
	bool wrong;        /* a wrong device was named, or opened */
	/* the attachment that told last that its disk is ready, by the number in the volume's id */
	char teller[VOLUMES_MAX + 1][48];
	/* the device of a mapping for which the volume's was looked at, by the same number */
	char shown_path[VOLUMES_MAX + 1][64];
};

/* the one that runs: chance and boot id of code that asks the machine */
extern struct sim *sim_now;

void sim_start(struct sim *sim, uint64_t seed, bool verbose, bool tracing);
void sim_stop(struct sim *sim);
void sim_open(struct sim *sim);
void sim_kill(struct sim *sim);
/* Everything that is due, then the clock jumps to what is due next, for so long. Ends early on a
 * failure. */
void sim_pass(struct sim *sim, int64_t ms);
void sim_say(struct sim *sim, const char *format, ...) _printf_(2, 3);
void sim_fail(struct sim *sim, const char *format, ...) _printf_(2, 3);
struct fake_volume *sim_volume(struct sim *sim, const char *id); /* also one that is gone */
size_t sim_number(const struct fake_volume *volume);

/* ---- schedule.c ---- */

void schedule_run(struct sim *sim);
void ask_answered(void *arg, const struct answer *answer);

/* ---- check.c ---- */

/* Everything the daemon would show at this moment. */
void check_shown(struct sim *sim);
void check_event(struct sim *sim, const struct core_event *event);
void check_answer(struct sim *sim, const struct ask *ask, const struct answer *answer);
/* Nothing is under way, and all sides agree. */
void check_end(struct sim *sim);

/* ---- trace.c ---- */

void trace_start(struct sim *sim);
void trace_format(struct sim *sim, const char *format, va_list args) _printf_(2, 0);
void trace_event(struct sim *sim, const struct core_event *event);
void trace_answer(struct sim *sim, const struct ask *ask, const struct answer *answer);

/* ---- naive.c ---- */

extern struct score scores[RULE_COUNT];
void naive_begin(struct sim *sim, const struct ask *ask);
void naive_look(struct sim *sim);
void naive_stop(struct sim *sim); /* nobody answers any more what is still open */
