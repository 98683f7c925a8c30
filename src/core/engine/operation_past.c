/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store from the past shows operations as unfinished that may have ended long ago, in a world
 * that has changed since: the volume may be attached for another purpose, or a deletion may have
 * been given up. So no such operation asks CloudStack for its change again. If CloudStack was asked
 * before, the operation looks at its job and at the volume: if the change is made, the operation
 * goes on with it, and otherwise it ends. If CloudStack was never asked, the operation ends at
 * once. Work on this machine (maps, exports) goes on, and is undone, as always, since it follows
 * the disks that are here.
 */

#include "core/engine/operation_past.h"

#include <stdio.h>

#include "base/uuid.h"
#include "core/engine/engine.h"
#include "core/engine/operation_table.h"

bool operation_is_past(const struct engine *engine, const struct operation_record *record)
{
	const char *id = str_has_prefix(record->id, "op-") ? record->id + 3 : record->id;

	if (str_empty(engine->past_id))
		return false;
	/* Ids of other versions are an earlier daemon's. */
	return !uuid_is_v7(id) || strcmp(id, engine->past_id) <= 0;
}

void operations_set_past(struct engine *engine, const char *newest_id)
{
	struct operation *operation;

	snprintf(engine->past_id, sizeof(engine->past_id), "%s", newest_id);
	TAILQ_FOREACH(operation, &engine->unfinished, age_entry)
		operation->from_past = operation_is_past(engine, &operation->record);
}

/* The step that the store names; NULL: the operation has not begun. */
static const struct step *stored_step(const struct operation_kind *kind,
				      const struct operation_record *record, bool *asked)
{
	const struct step *step;

	*asked = false;
	if (record->status == OPERATION_PENDING)
		return NULL;
	for (size_t i = 0; (step = operation_kind_step(kind, i)); i++) {
		*asked |= step->asks;
		if (streq(step->name, record->step))
			return step;
	}
	return NULL;
}

bool operation_past_ends(const struct operation *operation, struct err *err)
{
	bool asked;

	stored_step(operation->kind, &operation->record, &asked);
	if (asked || operation->record.undoing)
		return false;
	err_set(err, ERR_CONFLICT,
		"the store was accepted as one from the past before CloudStack was asked for this change; look at the volume, and ask again if the change is still wanted");
	return true;
}

const char *operation_past_plan(const struct engine *engine, const struct operation_record *record)
{
	bool asked;
	const struct step *step = stored_step(operation_kind_of(engine, record), record, &asked);

	if (record->undoing)
		return "the undo goes on, but CloudStack is not asked for a change; the error of the operation names each thing that is left over";
	if (!step)
		return "the operation ends as failed, since it has not begun; ask again if the change is still wanted";
	if (!asked)
		return "the work of the operation on this machine is undone and the operation ends as failed, since CloudStack has not been asked for the change; ask again if the change is still wanted";
	if (step->deadline == STEP_DEVICE)
		return "the operation goes on with the disk as it is on this machine; CloudStack is not asked for a change";
	return "CloudStack is asked for the job and for the volume: if the change is made, the operation goes on, and otherwise the operation ends as failed; the change is not requested again";
}
