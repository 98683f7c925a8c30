/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The operation is made as if it began, and never begins: its kind's checks say what would refuse
 * it, and its kind's table of steps what it would do. What it would wait for first, such as other
 * operations on its volume, refuses nothing.
 */

#include "core/methods/plan_operation.h"

#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"
#include "core/methods/plan.h"
#include "core/ops/check.h"
#include "core/ops/fact_finder.h"
#include "core/ops/vm_idle.h"

/* All answers together; existing clients give up after 30 s. */
#define PATIENCE_MS 15000
#define STEP_BEFORE_FIRST "queue"

struct planning {
	struct call *call;
	struct operation *operation;
	struct fact_finder *finder;
};

static void planning_free(void *awaited)
{
	struct planning *planning = awaited;

	fact_finder_free(planning->finder);
	operation_free(planning->operation);
	free(planning);
}

/* ---- what it would do ---- */

static const struct operation *find_before(const struct planning *planning, bool same_volume)
{
	const struct operation_record *record = &planning->operation->record;
	const struct operation *other;

	for (other = operation_first(planning->call->calls->engine); other;
	     other = operation_after(other)) {
		if (same_volume ? !str_empty(record->volume_id) &&
					  streq(other->record.volume_id, record->volume_id)
				: !str_empty(record->vm_id) &&
					  streq(other->record.vm_id, record->vm_id))
			return other;
	}
	return NULL;
}

static void tell_operation_before(const struct planning *planning)
{
	const struct operation *on_volume = find_before(planning, true);
	const struct operation *other = on_volume ? on_volume : find_before(planning, false);
	_cleanup_free_ char *text = NULL;

	if (!other)
		return;
	text = xasprintf("Wait until operation %s (%s) on the same %s has ended.", other->record.id,
			 operation_type_names[other->record.type], on_volume ? "volume" : "VM");
	plan_would(planning->call, STEP_BEFORE_FIRST, text);
}

static void tell_job_before(const struct planning *planning, const struct op_facts *facts)
{
	const struct cloud_volume *volume = facts->volume;
	_cleanup_free_ char *text = NULL;

	if (!volume || !cloud_volume_is_busy(volume))
		return;
	text = xasprintf("Wait until CloudStack's job on the volume has ended (%s, job %s).",
			 str_or(volume->state, "no state"), str_or(volume->job_id, "not shown"));
	plan_would(planning->call, STEP_BEFORE_FIRST, text);
}

static void tell_steps(const struct planning *planning)
{
	const struct operation *operation = planning->operation;
	const struct step *step;

	for (size_t i = 0; (step = operation_kind_step(operation->kind, i)); i++) {
		if (!step->applies || step->applies(operation))
			plan_would(planning->call, step->name, step->would);
	}
}

/* ---- what would refuse it ---- */

static void make_check(const struct planning *planning, const struct op_facts *facts,
		       const struct op_check *check)
{
	unsigned unknown = check->needs & ~facts->known;
	const char *why = facts_why_unknown(planning->finder, unknown);
	struct err err = { 0 };

	if (unknown)
		plan_doubt(planning->call, check->name, str_or(why, "no answer came"));
	else if (check->judge(planning->operation, facts, &err) < 0)
		plan_refuse(planning->call, check->name, &err);
}

static void on_facts(void *arg, const struct op_facts *facts)
{
	struct planning *planning = arg;
	struct call *call = planning->call;
	const struct op_check *const *check = planning->operation->kind->checks->list;

	for (; *check; check++)
		make_check(planning, facts, *check);
	tell_operation_before(planning);
	tell_job_before(planning, facts);
	tell_steps(planning);
	call_waited(call);
	planning_free(planning);
	plan_answer(call);
}

void plan_operation(struct call *call, const struct operation_order *order)
{
	struct planning *planning = xnew(struct planning);

	planning->call = call;
	planning->operation = operation_imagine(call->calls->engine, order);
	call_wait(call, planning, planning_free);
	planning->finder = facts_find(planning->operation, op_check_needs(planning->operation),
				      true, PATIENCE_MS, on_facts, planning);
}
