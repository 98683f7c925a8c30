/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A CloudStack that is restarted during an attachment may remove the volume from its lists, though
 * the volume's data is still on the storage. Only a person can bring the volume back, so the volume
 * stays known here until CloudStack shows it again, or a client gives it up by deleting it.
 *
 * The store keeps such a volume as an attachment that needs attention; each comparison finds it
 * there, also after a restart.
 */

#include "core/reconcile/lost_volumes.h"

#include <stdio.h>

#include "base/hash.h"
#include "core/engine/operation_start.h"
#include "core/model/event.h"

struct lost_volume {
	struct operation_record origin;
	UT_hash_handle hh; /* by origin.volume_id */
};

struct lost_volumes {
	struct model *model;
	struct engine *engine;
	struct lost_volume *volumes;
	struct event_listener listener;
};

static struct lost_volume *find(const struct lost_volumes *lost, const char *volume_id)
{
	struct lost_volume *volume;

	HASH_FIND_STR(lost->volumes, volume_id, volume);
	return volume;
}

static void volume_free(struct lost_volumes *lost, struct lost_volume *volume)
{
	HASH_DEL(lost->volumes, volume);
	record_clear(&operation_record, &volume->origin);
	free(volume);
}

void lost_volumes_put(struct lost_volumes *lost, const struct operation_record *origin)
{
	struct lost_volume *volume;

	if (find(lost, origin->volume_id))
		return;
	volume = xnew(struct lost_volume);
	record_copy(&operation_record, &volume->origin, origin);
	HASH_ADD_KEYPTR(hh, lost->volumes, volume->origin.volume_id,
			strlen(volume->origin.volume_id), volume);
}

void lost_volumes_drop(struct lost_volumes *lost, const char *volume_id)
{
	struct lost_volume *volume = find(lost, volume_id);

	if (volume)
		volume_free(lost, volume);
}

void lost_volumes_names(const struct lost_volumes *lost, char *out, size_t size)
{
	const struct lost_volume *volume;
	_cleanup_buf_ struct buf names = BUF_NULL;

	for (volume = lost->volumes; volume; volume = volume->hh.next)
		buf_printf(&names, "%s%s", names.length ? ", " : "", volume->origin.volume_id);
	err_text_format(out, size, "%s", str_or(names.data, ""));
}

/* A deletion can fail only because there is nothing to delete; then the client has given up the
 * volume. */
static bool is_given_up(const struct operation_record *record)
{
	return record->type == OPERATION_DELETE &&
	       (record->status == OPERATION_COMPLETED ||
		streq(record->error_code, err_view(ERR_NOT_FOUND)->word));
}

/* An administrator has settled the operation. */
static void forget_settled(struct lost_volumes *lost, const struct operation_record *record)
{
	struct lost_volume *volume = find(lost, str_or(record->volume_id, ""));

	if (volume && streq(volume->origin.id, record->id) && !record->needs_attention)
		volume_free(lost, volume);
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct lost_volumes *lost = container_of(listener, struct lost_volumes, listener);
	struct lost_volume *volume;

	if (event->type == EVENT_OPERATION_CHANGED)
		forget_settled(lost, event->operation);
	if (event->type != EVENT_OPERATION_ENDED || !is_given_up(event->operation))
		return;
	volume = find(lost, event->operation->volume_id);
	if (!volume)
		return;
	operation_settle(lost->engine, &volume->origin);
	volume_free(lost, volume);
}

struct lost_volumes *lost_volumes_new(struct model *model, struct engine *engine)
{
	struct lost_volumes *lost = xnew(struct lost_volumes);

	lost->model = model;
	lost->engine = engine;
	lost->listener.on_event = on_event;
	events_listen(model, &lost->listener);
	return lost;
}

struct lost_volumes *lost_volumes_free(struct lost_volumes *lost)
{
	struct lost_volume *volume, *next;

	if (!lost)
		return NULL;
	events_unlisten(lost->model, &lost->listener);
	HASH_ITER(hh, lost->volumes, volume, next)
		volume_free(lost, volume);
	free(lost);
	return NULL;
}
