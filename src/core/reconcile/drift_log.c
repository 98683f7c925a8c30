/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drifts have been told, and when a repair that CloudStack has to make is tried again. */

#include "core/reconcile/drift_log.h"

#include "base/clock.h"
#include "core/core_parts.h"
#include "core/model/drift_event.h"

struct known_drift *known_get(struct core *core, const struct drift_record *record)
{
	_cleanup_free_ char *key = xasprintf("%s %s", drift_kind_names[record->kind], record->volume_id);
	struct known_drift *known;

	HASH_FIND_STR(core->known_drift, key, known);
	if (known)
		return known;
	known = xnew(struct known_drift);
	known->key = TAKE_PTR(key);
	HASH_ADD_KEYPTR(hh, core->known_drift, known->key, strlen(known->key), known);
	return known;
}

static void known_free(struct core *core, struct known_drift *known)
{
	HASH_DEL(core->known_drift, known);
	free(known->key);
	free(known);
}

void drift_forget_old(struct core *core)
{
	struct known_drift *known, *next;

	HASH_ITER(hh, core->known_drift, known, next) {
		if (!known->seen && known->next_repair_ms < clock_mono_ms())
			known_free(core, known);
		else
			known->seen = false;
	}
}

void drift_forget_all(struct core *core)
{
	struct known_drift *known, *next;

	HASH_ITER(hh, core->known_drift, known, next)
		known_free(core, known);
}

void drift_tell(struct core *core, struct drift_record *record)
{
	struct known_drift *known = known_get(core, record);

	/* What lasts is told once. */
	if (record->repaired || !known->told)
		drift_event_tell(core, record);
	known->told = known->seen = true;
}
