/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rights of the daemon's keys. CloudStack is asked for each command by its name, since its list
 * of all commands takes megabytes, and for the project of cloud.project_id. The questions are asked
 * when a client asks, side by side; clients that come meanwhile share their answers. A question
 * without an answer leaves its own row unknown, and no other.
 */

#include "core/methods/cloud_rights.h"

#include <assert.h>

#include "cloud/cloud.h"
#include "core/call.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"

/* All answers together; existing clients give up after 30 s. */
#define PATIENCE_MS 15000
#define RIGHTS_MAX 48

/* Of two commands with one effect, one is enough. */
static const char *const alternatives[][2] = { { "destroyVolume", "deleteVolume" } };

/* One row, and the question for it. */
struct question {
	struct cloud_rights *rights;
	struct cloud_call *call; /* NULL: answered */
	struct right_record right;
};

/* A call that waits for the rows. */
struct asker {
	TAILQ_ENTRY(asker) entry;
	struct cloud_rights *rights;
	struct call *call;
};

struct cloud_rights {
	struct env *env;
	struct question questions[RIGHTS_MAX];
	size_t count, open;
	struct loop_timer patience;
	TAILQ_HEAD(, asker) askers;
};

static void clear(struct cloud_rights *rights)
{
	for (size_t i = 0; i < rights->count; i++) {
		if (rights->questions[i].call)
			cloud_call_cancel(rights->questions[i].call);
		record_clear(&right_record, &rights->questions[i].right);
	}
	loop_timer_clear(rights->env->loop, &rights->patience);
	rights->count = rights->open = 0;
}

/* ---- the answer ---- */

static struct right_record *find(struct cloud_rights *rights, const char *name)
{
	for (size_t i = 0; i < rights->count; i++) {
		if (streq(rights->questions[i].right.name, name))
			return &rights->questions[i].right;
	}
	return NULL;
}

static void spare(struct right_record *right, const struct right_record *other)
{
	if (!right || !other || right->allowed != RIGHT_NO || other->allowed != RIGHT_YES)
		return;
	right->allowed = RIGHT_UNNEEDED;
	free(right->text);
	right->text = xasprintf("%s does the same", other->name);
}

static void spare_alternatives(struct cloud_rights *rights)
{
	for (size_t i = 0; i < ARRAY_SIZE(alternatives); i++) {
		struct right_record *first = find(rights, alternatives[i][0]);
		struct right_record *second = find(rights, alternatives[i][1]);

		spare(first, second);
		spare(second, first);
	}
}

static void asker_free(void *awaited)
{
	struct asker *asker = awaited;

	TAILQ_REMOVE(&asker->rights->askers, asker, entry);
	free(asker);
}

/* Each round begins with the first, since a caller that is answered may cancel any other call. */
static void end(struct cloud_rights *rights)
{
	struct right_record *items = xcalloc(rights->count + 1, sizeof(*items));
	struct asker *asker;

	spare_alternatives(rights);
	for (size_t i = 0; i < rights->count; i++)
		items[i] = rights->questions[i].right;
	while ((asker = TAILQ_FIRST(&rights->askers))) {
		struct call *call = asker->call;

		call_waited(call);
		asker_free(asker);
		call_answer_many(call, items, rights->count, NULL);
	}
	free(items);
	clear(rights);
}

static void on_impatient(struct loop_timer *timer)
{
	struct cloud_rights *rights = container_of(timer, struct cloud_rights, patience);

	for (size_t i = 0; i < rights->count; i++) {
		if (rights->questions[i].call)
			str_set(&rights->questions[i].right.text,
				"CloudStack's answer did not come in time");
	}
	end(rights);
}

/* ---- the questions ---- */

static void on_answer(struct question *question, const struct cloud_result *result, bool allowed)
{
	struct right_record *right = &question->right;

	question->call = NULL;
	if (result->outcome == CLOUD_OK)
		right->allowed = allowed ? RIGHT_YES : RIGHT_NO;
	else
		str_set(&right->text, result->err.text);
	if (--question->rights->open == 0)
		end(question->rights);
}

static void on_command(void *arg, const struct cloud_result *result)
{
	on_answer(arg, result, result->rows > 0);
}

static void on_project(void *arg, const struct cloud_result *result)
{
	struct question *question = arg;

	if (result->outcome == CLOUD_OK && result->count == 0)
		str_set(&question->right.text,
			"there is no such project, or the user of the keys is no member of it");
	on_answer(question, result, result->count > 0);
}

static struct question *add(struct cloud_rights *rights, const char *name, enum right_kind kind,
			    const char *needed_to)
{
	struct question *question = &rights->questions[rights->count++];

	assert(rights->count <= RIGHTS_MAX);
	*question = (struct question){
		.rights = rights,
		.right = {
			.name = xstrdup(name),
			.kind = kind,
			.allowed = RIGHT_UNKNOWN,
			.needed_to = xstrdup(needed_to),
		},
	};
	rights->open++;
	return question;
}

static void add_command(void *arg, const char *name, const char *what, bool for_checks)
{
	struct cloud_rights *rights = arg;
	struct question *question = add(rights, name, RIGHT_COMMAND, what);

	question->right.for_checks = for_checks;
	question->call = cloud_find_command(rights->env->cloud, name, on_command, question);
}

static void ask_all(struct cloud_rights *rights)
{
	const char *project_id = rights->env->options.project_id;
	struct question *question;

	loop_deadline_set(rights->env->loop, &rights->patience, PATIENCE_MS);
	cloud_each_command(add_command, rights);
	if (str_empty(project_id) || streq(project_id, CLOUD_ALL_PROJECTS))
		return;
	question = add(rights, project_id, RIGHT_PROJECT, "see the volumes of the project");
	question->call =
		cloud_find_project_limits(rights->env->cloud, project_id, on_project, question);
}

void right_list(struct call *call)
{
	struct cloud_rights *rights = call->calls->cloud_rights;
	struct asker *asker;

	if (!rights->env->cloud) {
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so its rights cannot be read");
		return;
	}
	asker = xnew(struct asker);
	asker->rights = rights;
	asker->call = call;
	TAILQ_INSERT_TAIL(&rights->askers, asker, entry);
	call_wait(call, asker, asker_free);
	if (rights->count == 0)
		ask_all(rights);
}

/* ---- life ---- */

struct cloud_rights *cloud_rights_new(struct calls *calls)
{
	struct cloud_rights *rights = xnew(struct cloud_rights);

	rights->env = calls->env;
	rights->patience.fire = on_impatient;
	TAILQ_INIT(&rights->askers);
	return rights;
}

struct cloud_rights *cloud_rights_free(struct cloud_rights *rights)
{
	clear(rights);
	free(rights);
	return NULL;
}
