/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rights of the daemon's keys. CloudStack is asked for each command by its name, since its list
 * of all commands takes megabytes, and for the project of cloud.project_id. The questions are asked
 * when a client asks, a few at a time, so that the requests of operations need not wait behind all
 * of them and CloudStack's limit of requests is left to others; clients that come meanwhile share
 * the answers. A question without an answer leaves its own row unknown, and no other.
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
#define AT_ONCE 4

/* Of two commands with one effect, one is enough. */
static const char *const alternatives[][2] = { { "destroyVolume", "deleteVolume" } };

/* One row, and the question for it. */
struct question {
	struct cloud_rights *rights;
	struct cloud_call *call; /* NULL: not asked yet, or answered */
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
	size_t count, asked, answered; /* in the order of the questions */
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
	rights->count = rights->asked = rights->answered = 0;
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
		if (rights->questions[i].call || i >= rights->asked)
			str_set(&rights->questions[i].right.text,
				"CloudStack's answer did not come in time");
	}
	end(rights);
}

/* ---- the questions ---- */

static void go_on(struct cloud_rights *rights);

static void on_answer(struct question *question, const struct cloud_result *result, bool allowed)
{
	struct right_record *right = &question->right;

	question->call = NULL;
	if (result->outcome == CLOUD_OK)
		right->allowed = allowed ? RIGHT_YES : RIGHT_NO;
	else
		str_set(&right->text, result->err.text);
	question->rights->answered++;
	go_on(question->rights);
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

static struct right_record *add(struct cloud_rights *rights, const char *name, enum right_kind kind,
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
	return &question->right;
}

static void add_command(void *arg, const char *name, const char *what, bool for_checks)
{
	add(arg, name, RIGHT_COMMAND, what)->for_checks = for_checks;
}

static void ask(struct question *question)
{
	struct cloud *cloud = question->rights->env->cloud;
	const char *name = question->right.name;

	if (question->right.kind == RIGHT_PROJECT)
		question->call = cloud_find_project_limits(cloud, name, on_project, question);
	else
		question->call = cloud_find_command(cloud, name, on_command, question);
}

static void go_on(struct cloud_rights *rights)
{
	if (rights->answered == rights->count) {
		end(rights);
		return;
	}
	while (rights->asked < rights->count && rights->asked - rights->answered < AT_ONCE)
		ask(&rights->questions[rights->asked++]);
}

static void begin(struct cloud_rights *rights)
{
	const char *project_id = rights->env->options.project_id;

	loop_deadline_set(rights->env->loop, &rights->patience, PATIENCE_MS);
	cloud_each_command(add_command, rights);
	if (!str_empty(project_id) && !streq(project_id, CLOUD_ALL_PROJECTS))
		add(rights, project_id, RIGHT_PROJECT, "see the volumes of the project");
	go_on(rights);
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
		begin(rights);
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
