/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Each row of questions[] finds out one fact. A row is asked when the facts that it builds on are
 * known; if one of them cannot be known, neither can its own. So the finder has nothing to decide:
 * it begins all rows that can begin, and ends when none is left under way.
 */

#include "core/ops/fact_finder.h"

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/export.h"
#include "core/model/volume.h"
#include "core/ops/ops.h"
#include "io/loop.h"
#include "nbd/exporter.h"

/* Of the steps of one operation; a bit of op_facts.forbidden stands for each. */
#define STEPS_MAX 32
/* One command and one in its place. */
#define COMMANDS_OF_STEP 2

/* Is one command of a step allowed? */
struct command_question {
	struct fact_finder *finder;
	size_t step;
	struct cloud_call *call; /* NULL: answered */
};

struct fact_finder {
	struct operation *operation;
	struct op_wish wish;
	unsigned wanted;
	bool foresees;
	unsigned begun; /* asked, or known to be unknown */
	struct op_facts facts;
	char *why[FACT_COUNT]; /* a fact is unknown; NULL: it is known, or under way */
	facts_done_fn done;
	void *arg;
	struct loop_timer patience;
	struct loop_task over;

	/* under way, NULL: not, or not any more */
	struct cloud_call *calls[FACT_COUNT];
	struct command_question commands[STEPS_MAX * COMMANDS_OF_STEP];
	size_t command_count, commands_open;
	uint64_t allowed; /* bit n: a command of step n is allowed */
	struct disk_users *users;
	disk_users_judge_fn judge_users;
	struct export_call *clients;

	/* what the facts point to */
	struct cloud_volume volume, to_root;
	struct cloud_vm from, to;
	struct cloud_limits limits;
	struct err users_err, clients_err;
};

static size_t index_of(enum op_fact fact)
{
	return (size_t)__builtin_ctz((unsigned)fact);
}

static struct cloud *cloud_of(const struct fact_finder *finder)
{
	return finder->operation->ops->env->cloud;
}

static void go_on(struct fact_finder *finder);

static void know(struct fact_finder *finder, enum op_fact fact)
{
	finder->facts.known |= fact;
	if (finder->foresees && finder->operation->kind->checks->foresee)
		finder->operation->kind->checks->foresee(finder->operation, &finder->facts);
}

static void doubt(struct fact_finder *finder, enum op_fact fact, const char *why)
{
	if (!finder->why[index_of(fact)])
		finder->why[index_of(fact)] = xstrdup(why);
}

/* False: CloudStack has not told, and the fact stays unknown. */
static bool take(struct fact_finder *finder, enum op_fact fact, const struct cloud_result *result)
{
	finder->calls[index_of(fact)] = NULL;
	if (result->outcome == CLOUD_OK)
		return true;
	doubt(finder, fact, result->err.text);
	return false;
}

/* ---- the volume ---- */

static void on_volume(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;
	const char *id = finder->operation->record.volume_id;

	if (take(finder, FACT_VOLUME, result)) {
		for (size_t i = 0; i < result->count; i++) {
			if (!streq(result->volumes[i].id, id))
				continue;
			cloud_volume_assign(&finder->volume, &result->volumes[i]);
			str_set(&finder->volume.job_id, result->volumes[i].job_id);
			finder->facts.volume = &finder->volume;
		}
		know(finder, FACT_VOLUME);
	}
	go_on(finder);
}

static void ask_volume(struct fact_finder *finder)
{
	const struct cloud_volume_filter filter = { .id = finder->operation->record.volume_id };

	finder->calls[index_of(FACT_VOLUME)] =
		cloud_list_volumes(cloud_of(finder), &filter, on_volume, finder);
}

/* ---- VMs ---- */

static void vm_clear(struct cloud_vm *vm)
{
	free(vm->id);
	free(vm->zone_id);
	free(vm->state);
	free(vm->job_id);
	free(vm->hypervisor);
	free(vm->owner);
}

/* NULL if CloudStack does not show it. */
static const struct cloud_vm *keep_vm(struct cloud_vm *out, const struct cloud_result *result)
{
	const struct cloud_vm *vm = result->vms;

	if (result->count == 0)
		return NULL;
	*out = (struct cloud_vm){
		.id = xstrdup(vm->id),
		.zone_id = xstrdup(vm->zone_id),
		.state = xstrdup(vm->state),
		.job_id = xstrdup(vm->job_id),
		.hypervisor = xstrdup(vm->hypervisor),
		.owner = xstrdup(vm->owner),
	};
	return out;
}

static void on_from(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_FROM, result)) {
		finder->facts.from = keep_vm(&finder->from, result);
		know(finder, FACT_FROM);
	}
	go_on(finder);
}

static const char *from_id(const struct fact_finder *finder)
{
	return finder->facts.volume ? finder->facts.volume->vm_id : NULL;
}

static void ask_from(struct fact_finder *finder)
{
	if (from_id(finder))
		finder->calls[index_of(FACT_FROM)] =
			cloud_list_vm(cloud_of(finder), from_id(finder), on_from, finder);
	else
		know(finder, FACT_FROM);
}

static void on_to(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_TO, result)) {
		finder->facts.to = keep_vm(&finder->to, result);
		know(finder, FACT_TO);
	}
	go_on(finder);
}

static void ask_to(struct fact_finder *finder)
{
	finder->calls[index_of(FACT_TO)] =
		cloud_list_vm(cloud_of(finder), finder->wish.to_vm_id, on_to, finder);
}

static void on_from_snapshots(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_FROM_SNAPSHOTS, result)) {
		finder->facts.from_snapshots = result->rows;
		know(finder, FACT_FROM_SNAPSHOTS);
	}
	go_on(finder);
}

static void ask_from_snapshots(struct fact_finder *finder)
{
	if (from_id(finder))
		finder->calls[index_of(FACT_FROM_SNAPSHOTS)] =
			cloud_list_vm_snapshots(cloud_of(finder), from_id(finder),
						on_from_snapshots, finder);
	else
		know(finder, FACT_FROM_SNAPSHOTS);
}

static void on_to_snapshots(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_TO_SNAPSHOTS, result)) {
		finder->facts.to_snapshots = result->rows;
		know(finder, FACT_TO_SNAPSHOTS);
	}
	go_on(finder);
}

/* A VM that CloudStack does not show has none. */
static void ask_to_snapshots(struct fact_finder *finder)
{
	if (finder->facts.to)
		finder->calls[index_of(FACT_TO_SNAPSHOTS)] =
			cloud_list_vm_snapshots(cloud_of(finder), finder->wish.to_vm_id,
						on_to_snapshots, finder);
	else
		know(finder, FACT_TO_SNAPSHOTS);
}

static void on_to_disks(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_TO_DISKS, result)) {
		for (size_t i = 0; i < result->count; i++) {
			if (!streq(result->volumes[i].type, "ROOT")) {
				finder->facts.to_data_disks++;
				continue;
			}
			cloud_volume_assign(&finder->to_root, &result->volumes[i]);
			finder->facts.to_root = &finder->to_root;
		}
		know(finder, FACT_TO_DISKS);
	}
	go_on(finder);
}

static void ask_to_disks(struct fact_finder *finder)
{
	const struct cloud_volume_filter filter = { .vm_id = finder->wish.to_vm_id };

	if (finder->facts.to)
		finder->calls[index_of(FACT_TO_DISKS)] =
			cloud_list_volumes(cloud_of(finder), &filter, on_to_disks, finder);
	else
		know(finder, FACT_TO_DISKS);
}

static void on_slots(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_TO_SLOTS, result)) {
		finder->facts.least_disks = result->least_disks;
		finder->facts.most_disks = result->most_disks;
		/* Between the two only the version of the VM's host decides. */
		if (!result->most_disks)
			doubt(finder, FACT_TO_SLOTS,
			      "CloudStack does not say how many disks the VM takes");
		else if (finder->facts.to_data_disks < (size_t)result->most_disks &&
			 finder->facts.to_data_disks >= (size_t)result->least_disks)
			doubt(finder, FACT_TO_SLOTS,
			      "some versions of its hypervisor take no more disks than the VM has");
		else
			know(finder, FACT_TO_SLOTS);
	}
	go_on(finder);
}

static void ask_slots(struct fact_finder *finder)
{
	if (!finder->facts.to)
		know(finder, FACT_TO_SLOTS);
	else if (str_empty(finder->facts.to->hypervisor))
		doubt(finder, FACT_TO_SLOTS, "CloudStack does not say which hypervisor the VM has");
	else
		finder->calls[index_of(FACT_TO_SLOTS)] =
			cloud_find_disk_limit(cloud_of(finder), finder->facts.to->hypervisor,
					      on_slots, finder);
}

/* ---- the account ---- */

static void on_limits(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (!take(finder, FACT_LIMITS, result)) {
		go_on(finder);
		return;
	}
	if (result->count == 1) {
		finder->limits = result->limits[0];
		finder->limits.name = xstrdup(result->limits[0].name);
		finder->facts.limits = &finder->limits;
		know(finder, FACT_LIMITS);
	} else if (result->count > 1) {
		doubt(finder, FACT_LIMITS,
		      "the keys show several accounts, and CloudStack does not say which one is "
		      "theirs (its setting allow.user.view.all.domain.accounts is on)");
	} else {
		doubt(finder, FACT_LIMITS, "CloudStack does not show the owner of the volume");
	}
	go_on(finder);
}

static void ask_limits(struct fact_finder *finder)
{
	struct cloud_call **call = &finder->calls[index_of(FACT_LIMITS)];

	if (finder->wish.project_id)
		*call = cloud_find_project_limits(cloud_of(finder), finder->wish.project_id,
						  on_limits, finder);
	else if (finder->wish.creates)
		*call = cloud_find_limits(cloud_of(finder), NULL, on_limits, finder);
	else if (!finder->facts.volume)
		know(finder, FACT_LIMITS);
	else if (finder->facts.volume->owner)
		*call = cloud_find_limits(cloud_of(finder), finder->facts.volume->owner, on_limits,
					  finder);
	else
		doubt(finder, FACT_LIMITS, "CloudStack does not say whose volume it is");
}

/* Of a step, one command is enough. */
static void end_commands(struct fact_finder *finder)
{
	for (size_t i = 0; i < finder->command_count; i++) {
		uint64_t step = UINT64_C(1) << finder->commands[i].step;

		if (!(finder->allowed & step))
			finder->facts.forbidden |= step;
	}
	if (!finder->why[index_of(FACT_COMMANDS)])
		know(finder, FACT_COMMANDS);
}

static void on_command(void *arg, const struct cloud_result *result)
{
	struct command_question *question = arg;
	struct fact_finder *finder = question->finder;

	question->call = NULL;
	finder->commands_open--;
	if (result->outcome != CLOUD_OK)
		doubt(finder, FACT_COMMANDS, result->err.text);
	else if (result->rows > 0)
		finder->allowed |= UINT64_C(1) << question->step;
	if (finder->commands_open == 0)
		end_commands(finder);
	go_on(finder);
}

static void ask_command(struct fact_finder *finder, size_t step, const char *command)
{
	struct command_question *question;

	if (!command)
		return;
	question = &finder->commands[finder->command_count++];
	*question = (struct command_question){ .finder = finder, .step = step };
	question->call = cloud_find_command(cloud_of(finder), command, on_command, question);
	finder->commands_open++;
}

static void ask_commands(struct fact_finder *finder)
{
	const struct operation_kind *kind = finder->operation->kind;
	const struct step *step;

	for (size_t i = 0; (step = operation_kind_step(kind, i)) && i < STEPS_MAX; i++) {
		ask_command(finder, i, step->command);
		ask_command(finder, i, step->command_instead);
	}
	if (finder->commands_open == 0)
		end_commands(finder);
}

/* ---- a new volume ---- */

static void on_offering(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_OFFERING, result)) {
		finder->facts.has_offering = result->count > 0;
		finder->facts.offering_size = result->count > 0 ? result->offerings[0].size : 0;
		know(finder, FACT_OFFERING);
	}
	go_on(finder);
}

static void ask_offering(struct fact_finder *finder)
{
	finder->calls[index_of(FACT_OFFERING)] =
		cloud_list_offering(cloud_of(finder), finder->wish.offering_id, on_offering,
				    finder);
}

static void on_zone(void *arg, const struct cloud_result *result)
{
	struct fact_finder *finder = arg;

	if (take(finder, FACT_ZONE, result)) {
		finder->facts.has_zone = result->count > 0;
		know(finder, FACT_ZONE);
	}
	go_on(finder);
}

static void ask_zone(struct fact_finder *finder)
{
	finder->calls[index_of(FACT_ZONE)] =
		cloud_list_zone(cloud_of(finder), finder->wish.zone_id, on_zone, finder);
}

/* ---- this machine ---- */

/* Users that the judge refuses, and users that are not known, are told apart by the code. */
static void note_users(struct fact_finder *finder, const struct err *err)
{
	if (err->code && err->code != ERR_CONFLICT) {
		doubt(finder, FACT_USERS, err->text);
		return;
	}
	finder->users_err = *err;
	finder->facts.users = &finder->users_err;
	know(finder, FACT_USERS);
}

static void on_users(void *arg, const struct err *err)
{
	struct fact_finder *finder = arg;

	finder->users = NULL;
	note_users(finder, err);
	go_on(finder);
}

static int judge_users(void *arg, const struct disk_use *use, struct err *err)
{
	struct fact_finder *finder = arg;

	return finder->judge_users(finder->operation, use, err);
}

static void ask_users(struct fact_finder *finder)
{
	struct operation *operation = finder->operation;
	const struct op_checks *checks = operation->kind->checks;
	struct err err = { 0 };

	finder->judge_users = checks->users ? checks->users(operation) : NULL;
	if (finder->judge_users)
		finder->users = disk_users_check(operation->ops->host, operation->record.volume_id,
						 judge_users, on_users, finder, &err);
	if (!finder->users)
		note_users(finder, &err);
}

static const struct export_seen *find_export(const struct fact_finder *finder,
					     const struct export_seen *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(export_volume_of(items[i].name), finder->operation->record.volume_id))
			return &items[i];
	}
	return NULL;
}

static void on_clients(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err)
{
	struct fact_finder *finder = arg;
	const struct export_seen *seen = err->code ? NULL : find_export(finder, items, count);
	bool has_some = seen && seen->client_count > 0;

	finder->clients = NULL;
	if (err->code) {
		doubt(finder, FACT_NBD_CLIENTS, err->text);
	} else if (has_some && !seen->clients_certain) {
		doubt(finder, FACT_NBD_CLIENTS,
		      "the NBD server has clients, and tells only when an export is closed which one "
		      "they use");
	} else {
		if (has_some)
			export_clients_refuse(finder->operation->record.volume_id, seen,
					      &finder->clients_err);
		finder->facts.clients = &finder->clients_err;
		know(finder, FACT_NBD_CLIENTS);
	}
	go_on(finder);
}

static void ask_clients(struct fact_finder *finder)
{
	const struct operation *operation = finder->operation;
	const struct op_checks *checks = operation->kind->checks;
	struct exporter *exporter = operation->ops->env->options.exporter;

	if (exporter && checks->needs_no_clients && checks->needs_no_clients(operation) &&
	    export_find(operation->ops->model, operation->record.volume_id))
		finder->clients = export_list(exporter, on_clients, finder);
	else
		know(finder, FACT_NBD_CLIENTS);
}

/* ---- the order ---- */

static const struct question {
	enum op_fact fact;
	unsigned after; /* of enum op_fact: what has to be known before */
	void (*ask)(struct fact_finder *finder);
} questions[] = {
	{ FACT_VOLUME, 0, ask_volume },
	{ FACT_TO, 0, ask_to },
	{ FACT_COMMANDS, 0, ask_commands },
	{ FACT_OFFERING, 0, ask_offering },
	{ FACT_ZONE, 0, ask_zone },
	{ FACT_FROM, FACT_VOLUME, ask_from },
	{ FACT_FROM_SNAPSHOTS, FACT_VOLUME, ask_from_snapshots },
	{ FACT_TO_SNAPSHOTS, FACT_TO, ask_to_snapshots },
	{ FACT_TO_DISKS, FACT_TO, ask_to_disks },
	{ FACT_TO_SLOTS, FACT_TO | FACT_TO_DISKS, ask_slots },
	{ FACT_LIMITS, FACT_VOLUME, ask_limits },
	{ FACT_USERS, FACT_VOLUME, ask_users },
	{ FACT_NBD_CLIENTS, FACT_VOLUME, ask_clients },
};
_Static_assert(ARRAY_SIZE(questions) == FACT_COUNT, "each fact has one question");

/* A new volume has no facts yet. */
static unsigned needs_before(const struct fact_finder *finder, const struct question *question)
{
	return finder->wish.creates ? question->after & ~(unsigned)FACT_VOLUME : question->after;
}

/* The facts under a wanted fact are wanted, too. */
static void want_grounds(struct fact_finder *finder)
{
	for (size_t i = ARRAY_SIZE(questions); i-- > 0;) {
		if (finder->wanted & questions[i].fact)
			finder->wanted |= needs_before(finder, &questions[i]);
	}
}

/* True: the question was begun just now, or has turned out to have no answer. */
static bool begin(struct fact_finder *finder, const struct question *question)
{
	unsigned before = needs_before(finder, question);
	const char *why = facts_why_unknown(finder, before & ~finder->facts.known);

	if ((finder->begun & question->fact) || !(finder->wanted & question->fact))
		return false;
	if (before & ~finder->facts.known) {
		if (!why)
			return false; /* under way */
		doubt(finder, question->fact, why);
		finder->begun |= question->fact;
		return true;
	}
	finder->begun |= question->fact;
	question->ask(finder);
	return true;
}

static bool is_under_way(const struct fact_finder *finder)
{
	for (size_t i = 0; i < FACT_COUNT; i++) {
		if (finder->calls[i])
			return true;
	}
	return finder->commands_open > 0 || finder->users || finder->clients;
}

static void go_on(struct fact_finder *finder)
{
	struct loop *loop = finder->operation->ops->env->loop;
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
			moved = begin(finder, &questions[i]) || moved;
	}
	if (!is_under_way(finder))
		loop_task_queue(loop, &finder->over);
}

static void stop_waiting(struct fact_finder *finder)
{
	for (size_t i = 0; i < FACT_COUNT; i++) {
		if (finder->calls[i])
			cloud_call_cancel(TAKE_PTR(finder->calls[i]));
	}
	for (size_t i = 0; i < finder->command_count; i++) {
		if (finder->commands[i].call)
			cloud_call_cancel(TAKE_PTR(finder->commands[i].call));
	}
	finder->commands_open = 0;
	if (finder->users)
		disk_users_cancel(TAKE_PTR(finder->users));
	if (finder->clients)
		export_cancel(TAKE_PTR(finder->clients));
}

static void on_over(struct loop_task *task)
{
	struct fact_finder *finder = container_of(task, struct fact_finder, over);

	loop_timer_clear(finder->operation->ops->env->loop, &finder->patience);
	finder->done(finder->arg, &finder->facts);
}

static void on_impatient(struct loop_timer *timer)
{
	struct fact_finder *finder = container_of(timer, struct fact_finder, patience);

	stop_waiting(finder);
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		if (finder->wanted & ~finder->facts.known & questions[i].fact)
			doubt(finder, questions[i].fact, "the answer did not come in time");
	}
	on_over(&finder->over);
}

struct fact_finder *facts_find(struct operation *operation, unsigned wanted, bool foresees,
			       int64_t patience_ms, facts_done_fn done, void *arg)
{
	struct fact_finder *finder = xnew(struct fact_finder);
	const struct op_checks *checks = operation->kind->checks;

	finder->operation = operation;
	finder->wanted = wanted;
	finder->foresees = foresees;
	finder->done = done;
	finder->arg = arg;
	finder->over.run = on_over;
	finder->patience.fire = on_impatient;
	if (checks->wish)
		checks->wish(operation, &finder->wish);
	want_grounds(finder);
	loop_deadline_set(operation->ops->env->loop, &finder->patience, patience_ms);
	go_on(finder);
	return finder;
}

const char *facts_why_unknown(const struct fact_finder *finder, unsigned facts)
{
	for (size_t i = 0; i < FACT_COUNT; i++) {
		if ((facts & 1U << i) && finder->why[i])
			return finder->why[i];
	}
	return NULL;
}

struct fact_finder *fact_finder_free(struct fact_finder *finder)
{
	struct loop *loop;

	if (!finder)
		return NULL;
	loop = finder->operation->ops->env->loop;
	stop_waiting(finder);
	loop_task_cancel(loop, &finder->over);
	loop_timer_clear(loop, &finder->patience);
	cloud_volume_assign(&finder->volume, &(struct cloud_volume){ 0 });
	str_set(&finder->volume.job_id, NULL);
	cloud_volume_assign(&finder->to_root, &(struct cloud_volume){ 0 });
	vm_clear(&finder->from);
	vm_clear(&finder->to);
	free(finder->limits.name);
	for (size_t i = 0; i < FACT_COUNT; i++)
		free(finder->why[i]);
	free(finder);
	return NULL;
}
