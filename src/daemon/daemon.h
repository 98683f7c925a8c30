/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon put together: opened from a configuration, run until a signal, closed in order. */

#include "store/store.h"

struct daemon;
struct settings;

/* NULL and err if it cannot start. Takes the settings over. */
struct daemon *daemon_new(struct settings *settings, struct err *err);
/* Runs until SIGTERM, SIGINT or a fatal condition. Returns the exit code. */
int daemon_run(struct daemon *daemon);
/* See store_plan_takeover(), for the configured store. */
int daemon_plan_takeover(const struct settings *settings, store_sentence_fn tell, void *arg,
			 struct err *err);
struct daemon *daemon_free(struct daemon *daemon);
