/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A user without a name is remembered like any other, so that a directory server that does not
 * answer delays one call of a user a minute and not each of them.
 */

#include "io/user_names.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>

#include "base/clock.h"
#include "base/queue.h"
#include "io/blocking.h"

#define KEPT_MAX 128
#define NAMED_MS (INT64_C(5) * 60 * 1000)
#define NAMELESS_MS (INT64_C(60) * 1000)
#define PASSWD_MAX ((size_t)64 << 10) /* of one line of the list of users */

struct kept {
	TAILQ_ENTRY(kept) entry;
	uid_t uid;
	char *name;
	int64_t until_ms; /* clock_mono_ms() */
};

struct user_names {
	struct loop *loop;
	struct blocking_pool *pool; /* NULL until the first look-up */
	TAILQ_HEAD(, kept) kept;    /* oldest first */
	size_t count;
};

struct user_lookup {
	struct blocking_call call;
	struct user_names *names;
	uid_t uid;
	user_lookup_done_fn done;
	void *arg;
};

struct task {
	uid_t uid;
	char *name;
};

/* ---- the thread ---- */

static void task_run(void *work)
{
	struct task *task = work;
	struct passwd entry, *found = NULL;
	_cleanup_free_ char *text = NULL;
	int r = ERANGE;

	for (size_t size = 1024; r == ERANGE && size <= PASSWD_MAX; size *= 4) {
		text = xrealloc(text, size);
		r = getpwuid_r(task->uid, &entry, text, size, &found);
	}
	if (r == 0 && found && str_is_plain_text(found->pw_name))
		task->name = xstrdup(found->pw_name);
}

static void task_free(void *work)
{
	struct task *task = work;

	free(task->name);
	free(task);
}

/* ---- the memory ---- */

static void drop(struct user_names *names, struct kept *kept)
{
	TAILQ_REMOVE(&names->kept, kept, entry);
	names->count--;
	free(kept->name);
	free(kept);
}

static struct kept *find(struct user_names *names, uid_t uid)
{
	struct kept *kept;

	TAILQ_FOREACH(kept, &names->kept, entry) {
		if (kept->uid == uid)
			return kept;
	}
	return NULL;
}

static void keep(struct user_names *names, uid_t uid, const char *name)
{
	struct kept *kept = find(names, uid);

	if (kept)
		drop(names, kept);
	if (names->count == KEPT_MAX)
		drop(names, TAILQ_FIRST(&names->kept));
	kept = xnew(struct kept);
	kept->uid = uid;
	kept->name = xstrdup(name);
	kept->until_ms = clock_mono_ms() + (name ? NAMED_MS : NAMELESS_MS);
	TAILQ_INSERT_TAIL(&names->kept, kept, entry);
	names->count++;
}

bool user_names_find(struct user_names *names, uid_t uid, const char **name)
{
	struct kept *kept = find(names, uid);

	if (!kept || kept->until_ms <= clock_mono_ms())
		return false;
	*name = kept->name;
	return true;
}

/* ---- look-ups ---- */

static void on_found(struct blocking_call *call, void *work, const struct err *err)
{
	struct user_lookup *lookup = container_of(call, struct user_lookup, call);
	const struct task *task = work;
	const char *name = task ? task->name : NULL;
	user_lookup_done_fn done = lookup->done;
	void *arg = lookup->arg;

	keep(lookup->names, lookup->uid, name);
	free(lookup);
	done(arg, name);
}

static struct blocking_pool *pool_of(struct user_names *names)
{
	const struct blocking_options options = {
		.name = "users",
		.at_once = 1,
		.hung_max = 2,
		.timeout_ms = USER_NAMES_MS,
		.run = task_run,
		.free_work = task_free,
	};

	if (!names->pool)
		names->pool = blocking_pool_new(names->loop, &options);
	return names->pool;
}

struct user_lookup *user_lookup_start(struct user_names *names, uid_t uid, user_lookup_done_fn done,
				      void *arg)
{
	struct user_lookup *lookup = xnew(struct user_lookup);
	struct task *task = xnew(struct task);

	lookup->names = names;
	lookup->uid = task->uid = uid;
	lookup->done = done;
	lookup->arg = arg;
	lookup->call.done = on_found;
	blocking_start(pool_of(names), &lookup->call, "looking up", "a user", task);
	return lookup;
}

void user_lookup_cancel(struct user_lookup *lookup)
{
	blocking_cancel(&lookup->call);
	free(lookup);
}

struct user_names *user_names_new(struct loop *loop)
{
	struct user_names *names = xnew(struct user_names);

	names->loop = loop;
	TAILQ_INIT(&names->kept);
	return names;
}

struct user_names *user_names_free(struct user_names *names)
{
	if (!names)
		return NULL;
	if (names->pool)
		assert(!blocking_first(names->pool));
	blocking_pool_free(names->pool);
	while (!TAILQ_EMPTY(&names->kept))
		drop(names, TAILQ_FIRST(&names->kept));
	free(names);
	return NULL;
}
