/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drifts have been told, and when a repair that CloudStack has to make is tried again. */

#include "core/reconcile/drift_log.h"

#include "base/clock.h"
#include "core/engine/operation_table.h"
#include "core/model/drift_event.h"

/* CloudStack may refuse the same repair for hours. */
#define AGAIN_FIRST_MS 60000
#define AGAIN_MAX_MS 3600000

struct drift_log {
	struct model *model;
	struct engine *engine;
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
	known->volume_id = strchr(known->key, ' ') + 1;
	HASH_ADD_KEYPTR(hh, log->known, known->key, strlen(known->key), known);
	return known;
}

bool known_is_due(const struct known_drift *known)
{
	return clock_mono_ms() >= known->next_repair_ms;
}

void known_note_repair(struct known_drift *known)
{
	int64_t wait_ms = AGAIN_FIRST_MS;

	for (unsigned i = 0; i < known->repairs && wait_ms < AGAIN_MAX_MS; i++)
		wait_ms *= 2;
	known->repairs++;
	known->next_repair_ms = clock_mono_ms() + (wait_ms < AGAIN_MAX_MS ? wait_ms : AGAIN_MAX_MS);
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
		if (operation_busy(log->engine, known->volume_id))
			continue;
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

struct drift_log *drift_log_new(struct model *model, struct engine *engine)
{
	struct drift_log *log = xnew(struct drift_log);

	log->model = model;
	log->engine = engine;
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
