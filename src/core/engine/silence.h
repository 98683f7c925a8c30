/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Since when a step has asked for nothing.
 *
 * A step that runs again after a restart does not know when an earlier life of the daemon has asked
 * for its change. It knows that this life has not asked yet; and if it stores that, the next life
 * knows it as well, and the time in which the request may still arrive passes although the daemon
 * lives for a shorter time. So the step stores the moment before it waits, and takes it back, in a
 * commit of its own, before it asks. The moment is of the monotonic clock, which is one clock for
 * all processes of a boot and which nobody can set.
 *
 * The context of each operation starts with a struct silence. A step that is entered has none.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/field.h"

struct operation;

struct silence {
	int64_t since_ms; /* clock_mono_ms(); 0: the step may have asked at any time */
	char *boot_id;    /* the boot that since_ms belongs to */
};

/* The first rows of the field table of a context. */
#define SILENCE_FIELDS(CONTEXT)                                                                    \
	FIELD(CONTEXT, silence.since_ms, INT, .flags = FIELD_OMIT,                                 \
	      .doc = "Monotonic time since which the step has asked for nothing."),                \
		FIELD(CONTEXT, silence.boot_id, TEXT, .flags = FIELD_OMIT,                         \
		      .doc = "The boot that this time belongs to.")

/* clock_mono_ms() of the moment that is stored; 0: none is, or it is one of another boot. */
int64_t silence_since_ms(const struct operation *operation);
/* This life has not asked either; for the next commit, and before operation_store(). */
void silence_begin(struct operation *operation);
/* For the next commit: the step may ask, or another one is entered. */
void silence_end(struct operation *operation);
/* A moment is stored, of whatever boot. */
bool silence_is_kept(const struct operation *operation);
