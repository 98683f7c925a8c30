/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A core made of paper, for what surfaces need of it: calls are noted and answered from the field
 * tables (or held, or refused), volumes, exports and operations are what the test puts there, and
 * events are what the test tells.
 */

#include "core/core.h"

#define SAMPLE_UUID "0195a1f0-7c3e-7b11-8f00-0123456789ab"
#define OTHER_UUID "0195a1f0-7c3e-7b11-8f00-0123456789ac"
#define SAMPLE_OPERATION "op-" SAMPLE_UUID
#define SAMPLE_SECRET "vold_0123456789abcdef"
#define SAMPLE_OBJECT "{\"number\":1,\"nested\":{\"list\":[true,\"x\",2.5,null]}}"

struct core {
	struct loop *loop;
	TAILQ_HEAD(, event_listener) listeners;
	bool watches_health;
	size_t measured;                 /* for metrics */
	char certificate[ERR_TEXT_SIZE]; /* as told last */
	const char *figures;             /* more of the page; NULL: none */
	TAILQ_HEAD(, call) calls;
	bool hold; /* calls wait for fake_core_release() */
	size_t started;
	size_t cancelled;
	size_t hurried;        /* and answered */
	enum method_id method; /* of the last call, and its arguments as JSON */
	struct buf args;
	const char *surface; /* of its caller, what that may do, and who it is */
	enum method_access access;
	bool has_uid;
	uid_t uid;
	char token[64], bus_name[64], address[64]; /* "" if there is none */
	/* a token that is known, and what it allows */
	const char *known_token;
	enum method_access token_access;
	struct err err;          /* the answer: an error, */
	size_t count;            /* or this many items for ANSWER_MANY, */
	const char *next_cursor; /* with more behind them */
	int64_t listed_ms;
	bool unhealthy;
	size_t volume_count; /* ids from fake_volume_id() */
	bool volumes_detached, volumes_on_appliance;
	size_t export_count; /* of the first volumes */
	const char *volume_name;
	const char *export_error;
	void (*on_call)(struct core *core, enum method_id id); /* may be NULL; after it was noted */
	/* the one in memory, when its id is set */
	struct operation_record operation;
	size_t unfinished; /* operations */
};

void fake_core_init(struct core *core, struct loop *loop);
void fake_core_fini(struct core *core);
void fake_core_release(struct core *core); /* answers what is held */
void fake_core_tell(struct core *core, const struct core_event *event);
void fake_volume_id(size_t index, char out[37]);
/* Every field of an initialised struct gets a value that fits its type. */
void fake_fill(const struct record *record, void *item);
