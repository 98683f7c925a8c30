/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events wait in a list and are delivered by a task, so that a listener never runs inside the
 * change it hears of, and hears of all changes in order. Each event carries copies, which show the
 * state at the moment of the event. Volumes are the exception: changed volumes are marked, and one
 * event a turn for each of them says "look again".
 */

#include "core/model/event.h"

#include <assert.h>

#include "base/metric.h"
#include "core/env.h"
#include "core/event.h"
#include "core/model/model.h"

struct pending_event {
	TAILQ_ENTRY(pending_event) entry;
	enum event_type type;
	char *id;
	struct operation_record operation;
	struct device_record device;
	struct mapping_record mapping;
	struct drift_record drift;
	struct health_record health;
};

static void pending_event_free(struct pending_event *pending)
{
	record_clear(&operation_record, &pending->operation);
	record_clear(&device_record, &pending->device);
	record_clear(&mapping_record, &pending->mapping);
	record_clear(&drift_record, &pending->drift);
	record_clear(&health_record, &pending->health);
	free(pending->id);
	free(pending);
}

void events_deliver(struct model *model, const struct core_event *event)
{
	struct event_listener *listener, *next;

	for (listener = TAILQ_FIRST(&model->listeners); listener; listener = next) {
		next = TAILQ_NEXT(listener, entry);
		listener->on_event(listener, event);
	}
}

static void on_events_task(struct loop_task *task)
{
	struct model *model = container_of(task, struct model, events_task);
	TAILQ_HEAD(, pending_event) list = TAILQ_HEAD_INITIALIZER(list);
	struct pending_event *pending;

	TAILQ_CONCAT(&list, &model->events, entry);
	/* Volumes come first: a listener that hears of an operation's end finds the volume as the
	 * operation left it. */
	model->tell_volumes(model);
	while ((pending = TAILQ_FIRST(&list))) {
		struct core_event event = {
			.type = pending->type,
			.id = pending->id,
			.operation = pending->operation.id ? &pending->operation : NULL,
			.device = pending->device.device_path ? &pending->device : NULL,
			.mapping = pending->mapping.volume_id ? &pending->mapping : NULL,
			.drift = pending->drift.volume_id ? &pending->drift : NULL,
			.health = pending->health.status ? &pending->health : NULL,
		};

		TAILQ_REMOVE(&list, pending, entry);
		events_deliver(model, &event);
		pending_event_free(pending);
	}
}

void events_queue_volumes(struct model *model)
{
	loop_task_queue(model->env->loop, &model->events_task);
}

static struct pending_event *pending_event_add(struct model *model, enum event_type type,
					       const char *id)
{
	struct pending_event *pending = xnew(struct pending_event);

	pending->type = type;
	pending->id = xstrdup(id);
	TAILQ_INSERT_TAIL(&model->events, pending, entry);
	loop_task_queue(model->env->loop, &model->events_task);
	return pending;
}

void events_operation(struct model *model, enum event_type type,
		      const struct operation_record *record)
{
	struct pending_event *pending = pending_event_add(model, type, record->id);

	if (type != EVENT_OPERATION_FORGOTTEN)
		record_copy(&operation_record, &pending->operation, record);
}

void events_device(struct model *model, enum event_type type, const struct device_record *record)
{
	record_copy(&device_record, &pending_event_add(model, type, record->device_path)->device,
		    record);
}

void events_mapping(struct model *model, enum event_type type, const struct mapping_record *record)
{
	record_copy(&mapping_record, &pending_event_add(model, type, record->volume_id)->mapping,
		    record);
}

void events_drift(struct model *model, const struct drift_record *record)
{
	model->drifts[record->kind]++;
	record_copy(&drift_record,
		    &pending_event_add(model, EVENT_DRIFT_FOUND, record->volume_id)->drift, record);
}

void events_health(struct model *model, const struct health_record *record)
{
	record_copy(&health_record,
		    &pending_event_add(model, EVENT_HEALTH_CHANGED, record->status)->health,
		    record);
}

void events_volume(struct model *model, enum event_type type, const char *volume_id)
{
	pending_event_add(model, type, volume_id);
}

void events_export(struct model *model, enum event_type type, const char *volume_id)
{
	pending_event_add(model, type, volume_id);
}

void events_token_revoked(struct model *model, const char *name)
{
	pending_event_add(model, EVENT_TOKEN_REVOKED, name);
}

void events_listen(struct model *model, struct event_listener *listener)
{
	TAILQ_INSERT_TAIL(&model->listeners, listener, entry);
}

void events_unlisten(struct model *model, struct event_listener *listener)
{
	TAILQ_REMOVE(&model->listeners, listener, entry);
}

void events_put_metrics(const struct model *model, struct buf *out)
{
	metric_family(
		out, "volumed_drift_total", METRIC_COUNTER,
		"Differences between store, CloudStack and kernel; each counts once while it lasts.");
	for (int kind = DRIFT_NONE + 1; kind < DRIFT_KIND_COUNT; kind++)
		metric_value(out, "volumed_drift_total",
			     METRIC_LABELS({ "kind", drift_kind_names[kind] }),
			     (double)model->drifts[kind]);
}

void events_free(struct model *model)
{
	struct pending_event *pending;

	loop_task_cancel(model->env->loop, &model->events_task);
	while ((pending = TAILQ_FIRST(&model->events))) {
		TAILQ_REMOVE(&model->events, pending, entry);
		pending_event_free(pending);
	}
	assert(TAILQ_EMPTY(&model->listeners));
}

void events_init(struct model *model, void (*tell_volumes)(struct model *model))
{
	model->tell_volumes = tell_volumes;
	TAILQ_INIT(&model->listeners);
	TAILQ_INIT(&model->events);
	model->events_task.run = on_events_task;
}
