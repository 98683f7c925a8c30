/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drifts have been told, and when a repair that CloudStack has to make is tried again. */

#include "core/reconcile/drift_log.h"

#include "base/clock.h"
#include "core/model/drift_event.h"

struct drift_log {
	struct model *model;
	struct known_drift *known; /* by kind and volume */
};

struct known_drift *known_get(struct drift_log *log, const struct drift_record *record)
{
	_cleanup_free_ char *key =
		xasprintf("%s %s", drift_kind_names[record->kind], record->volume_id);
	struct known_drift *known;

	HASH_FIND_STR(log->known, key, known);
	if (known)
		return known;
	known = xnew(struct known_drift);
	known->key = TAKE_PTR(key);
	HASH_ADD_KEYPTR(hh, log->known, known->key, strlen(known->key), known);
	return known;
}

static void known_free(struct drift_log *log, struct known_drift *known)
{
	HASH_DEL(log->known, known);
	free(known->key);
	free(known);
}

void drift_forget_old(struct drift_log *log)
{
	struct known_drift *known, *next;

	HASH_ITER(hh, log->known, known, next) {
		if (!known->seen && known->next_repair_ms < clock_mono_ms())
			known_free(log, known);
		else
			known->seen = false;
	}
}

void drift_tell(struct drift_log *log, struct drift_record *record)
{
	struct known_drift *known = known_get(log, record);

	/* A drift that lasts is told once. */
	if (record->repaired || !known->told)
		drift_event_tell(log->model, record);
	known->told = known->seen = true;
}

struct drift_log *drift_log_new(struct model *model)
{
	struct drift_log *log = xnew(struct drift_log);

	log->model = model;
	return log;
}

struct drift_log *drift_log_free(struct drift_log *log)
{
	struct known_drift *known, *next;

	if (!log)
		return NULL;
	HASH_ITER(hh, log->known, known, next)
		known_free(log, known);
	free(log);
	return NULL;
}
