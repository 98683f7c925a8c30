/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What signals have told of each object: its properties as they were sent last, and whether it has
 * changed since. Private to api/bus/.
 */

#include "base/hash.h"
#include "base/queue.h"
#include "spec/methods.h"

struct told_object {
	UT_hash_handle hh; /* by path */
	TAILQ_ENTRY(told_object) dirty_entry;
	enum method_scope scope;
	char *id;
	char *path;
	void *values; /* a struct of the scope's record; NULL: nothing was told yet */
	bool is_dirty;
};

struct told {
	struct told_object *by_path;
	TAILQ_HEAD(, told_object) dirty; /* objects that may differ from what was told */
};

void told_init(struct told *told);
/* NULL if nothing was told of the object and it is not dirty. */
struct told_object *told_find(struct told *told, enum method_scope scope, const char *id);
void told_mark(struct told *told, enum method_scope scope, const char *id);
/* The object is told with all its values, a struct of the scope's record. */
void told_note(struct told *told, enum method_scope scope, const char *id, const void *values);
/*
 * The values are told from now on, and the object is not dirty any more. Returns the names of the
 * properties that differ from what was told before, ended by NULL; NULL if there are none.
 */
char **told_update(struct told *told, struct told_object *object, const void *values);
char **told_names_free(char **names);                            /* returns NULL, takes NULL */
void told_forget(struct told *told, struct told_object *object); /* takes NULL */
void told_clear(struct told *told);
