/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The names of users by their uid. A name may have to come from a directory server, so it is asked
 * for on a thread, within USER_NAMES_MS, and remembered for some minutes.
 */

#include "io/loop.h"

struct user_names;
struct user_lookup;

#define USER_NAMES_MS 2000

struct user_names *user_names_new(struct loop *loop);
/* All look-ups must have been cancelled. Returns NULL, takes NULL. */
struct user_names *user_names_free(struct user_names *names);

/* name: NULL if the user has none, or none was found in time; valid until done returns. */
typedef void (*user_lookup_done_fn)(void *arg, const char *name);
/* done runs exactly once, on a later turn, unless the look-up is cancelled. */
struct user_lookup *user_lookup_start(struct user_names *names, uid_t uid, user_lookup_done_fn done,
				      void *arg);
void user_lookup_cancel(struct user_lookup *lookup); /* done will not run */
/* True: the name is remembered, and *name is as for done, until the next turn. */
bool user_names_find(struct user_names *names, uid_t uid, const char **name);
