/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration of a running daemon, read anew. What settings_read() refuses changes nothing.
 * Otherwise the values that may change (CONFIG_LIVE) come into force, all in one turn of the loop;
 * the others are told, and stay as they are until a restart.
 */

#include "core/core.h"
#include "io/loop.h"

struct reload;
struct settings;

/* A change of what CloudStack is asked with: its address or the keys. */
enum reload_effect { RELOAD_EFFECT_NONE, RELOAD_EFFECT_ACCESS };

struct reload_options {
	struct loop *loop;
	/* in force; borrowed, changed in place */
	struct settings *settings;
	/* The settings have new values: the modules take them over. Must not fail. */
	void (*apply)(void *arg, enum reload_effect effect);
	void *arg;
};

struct reload *reload_new(const struct reload_options *options);
struct reload *reload_free(struct reload *reload); /* returns NULL, takes NULL */
/* For core, as long as the reload lives. */
const struct reloader *reload_door(const struct reload *reload);
/* For a signal, which nobody waits for. */
void reload_soon(struct reload *reload);
