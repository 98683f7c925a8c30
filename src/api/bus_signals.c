/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the core tells becomes signals. Events come after what they tell is durable, so a signal can be believed.
 *
 * Two kinds. The Manager's own signals are sent as the events come, one for one. PropertiesChanged says the state of
 * an object and not its history, so an object that changes is only marked; once a turn the marked ones are sent, each
 * once. An operation that ends is sent first if it is marked: who waits for OperationCompleted then already has its
 * properties.
 *
 * A bus that does not read must not make us grow. Above QUEUE_MAX unwritten messages signals are left out (logged once
 * until the queue has drained) and marked objects simply wait, for there are never more of them than objects. Nothing
 * at all is sent while the name is not ours: clients read everything anew when it appears. Only completions are kept and
 * told then, since after a start some operations end before the bus is there, and somebody may wait for just that.
 */

#include <assert.h>
#include <errno.h>
#include <search.h>

#include "api/bus_internal.h"
#include "base/log.h"

#define FLUSH_RETRY_MS 200

#define NAMES2(A, B) A "\0" B "\0"
#define NAMES3(A, B, C) NAMES2(A, B) C "\0"

enum {
	SIGNAL_STARTED,
	SIGNAL_COMPLETED,
	SIGNAL_DEVICE_ADDED,
	SIGNAL_DEVICE_REMOVED,
	SIGNAL_MAPPING,
	SIGNAL_DRIFT,
	SIGNAL_COUNT
};

const struct bus_signal bus_signals[] = {
	[SIGNAL_STARTED] = {
		"OperationStarted", "osss", NAMES3("operation", "id", "type") "volume_id\0",
		"An operation was accepted; it is durable.",
	},
	[SIGNAL_COMPLETED] = {
		"OperationCompleted", "osssssa{sv}",
		NAMES3("operation", "id", "type") NAMES3("status", "volume_id", "device_path") "details\0",
		"An operation has ended: completed, failed or cancelled. Sent once an operation.",
	},
	[SIGNAL_DEVICE_ADDED] = {
		"DeviceAdded", "sa{sv}", NAMES2("device_path", "device"),
		"The kernel shows a new disk.",
	},
	[SIGNAL_DEVICE_REMOVED] = {
		"DeviceRemoved", "sa{sv}", NAMES2("device_path", "device"),
		"A disk has gone from the kernel.",
	},
	[SIGNAL_MAPPING] = {
		"MappingChanged", "ssa{sv}", NAMES3("volume_id", "device_path", "mapping"),
		"A volume is now this device; device_path is empty when it is none any more.",
	},
	[SIGNAL_DRIFT] = {
		"DriftFound", "sa{sv}", NAMES2("kind", "drift"),
		"Store, CloudStack and kernel disagree about a volume; said once while it lasts.",
	},
	[SIGNAL_COUNT] = { NULL, NULL, NULL, NULL },
};

/* True when a signal may be sent now. */
static bool may_emit(struct bus *bus)
{
	size_t queued;

	if (!bus->ready)
		return false;
	queued = bus_queued(bus);
	if (queued > QUEUE_MAX) {
		if (!bus->overflow_logged)
			log_warning("bus: %zu messages wait to be read; signals are left out until they are", queued);
		bus->overflow_logged = true;
		return false;
	}
	if (queued == 0)
		bus->overflow_logged = false;
	return true;
}

static int signal_new(struct bus *bus, int which, sd_bus_message **out)
{
	return sd_bus_message_new_signal(bus->sd_bus, out, BUS_ROOT, scopes[SCOPE_MANAGER].interface,
					 bus_signals[which].member);
}

static void signal_send(struct bus *bus, int which, sd_bus_message *m, int r)
{
	if (r >= 0)
		r = sd_bus_send(bus->sd_bus, m, NULL);
	if (r < 0)
		log_warning("bus: signal %s was not sent: %s", bus_signals[which].member, strerror(-r));
	sd_bus_message_unref(m);
}

/* --- PropertiesChanged ----------------------------------------------------------------------------------------- */

static int dirty_compare(const void *a, const void *b)
{
	return strcmp(((const struct dirty_object *)a)->path, ((const struct dirty_object *)b)->path);
}

static void dirty_free(struct bus *bus, struct dirty_object *object)
{
	tdelete(object, &bus->dirty_tree, dirty_compare);
	TAILQ_REMOVE(&bus->dirty, object, entry);
	free(object->path);
	free(object);
}

static struct dirty_object *dirty_find(struct bus *bus, char *path)
{
	struct dirty_object key = { .path = path };
	void *node = tfind(&key, &bus->dirty_tree, dirty_compare);

	return node ? *(struct dirty_object **)node : NULL;
}

static void dirty_mark(struct bus *bus, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = NULL;
	struct dirty_object *object;

	if (!bus->ready)
		return;
	path = bus_object_path(scope, id);
	if (dirty_find(bus, path))
		return;
	object = xnew(struct dirty_object);
	object->scope = scope;
	object->path = TAKE_PTR(path);
	TAILQ_INSERT_TAIL(&bus->dirty, object, entry);
	if (!tsearch(object, &bus->dirty_tree, dirty_compare))
		abort(); /* no memory */
	loop_task_queue(bus->loop, &bus->flush_task);
}

static void dirty_emit(struct bus *bus, struct dirty_object *object)
{
	int r = sd_bus_emit_properties_changed_strv(bus->sd_bus, object->path, bus->interfaces[object->scope]->name,
						    NULL);

	/* The object may have gone since it was marked. */
	if (r < 0 && r != -ENOENT)
		log_debug("bus: no PropertiesChanged for %s: %s", object->path, strerror(-r));
	dirty_free(bus, object);
}

static void dirty_flush(struct bus *bus)
{
	while (!TAILQ_EMPTY(&bus->dirty)) {
		if (!may_emit(bus)) {
			loop_timer_set(bus->loop, &bus->flush_timer, FLUSH_RETRY_MS);
			return;
		}
		dirty_emit(bus, TAILQ_FIRST(&bus->dirty));
	}
}

static void on_flush_task(struct loop_task *task)
{
	dirty_flush(container_of(task, struct bus, flush_task));
}

static void on_flush_timer(struct loop_timer *timer)
{
	dirty_flush(container_of(timer, struct bus, flush_timer));
}

static void dirty_forget(struct bus *bus, enum method_scope scope, const char *id, bool emit)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);
	struct dirty_object *object = dirty_find(bus, path);

	if (object && emit)
		dirty_emit(bus, object);
	else if (object)
		dirty_free(bus, object);
}

/* --- objects that come and go ---------------------------------------------------------------------------------- */

static void emit_added(struct bus *bus, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);
	int r = sd_bus_emit_interfaces_added(bus->sd_bus, path, bus->interfaces[scope]->name, NULL);

	if (r < 0)
		log_debug("bus: no InterfacesAdded for %s: %s", path, strerror(-r));
}

static void emit_removed(struct bus *bus, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);
	int r = sd_bus_emit_interfaces_removed(bus->sd_bus, path, bus->interfaces[scope]->name, NULL);

	if (r < 0)
		log_debug("bus: no InterfacesRemoved for %s: %s", path, strerror(-r));
}

/* --- the Manager's signals ------------------------------------------------------------------------------------- */

static void emit_started(struct bus *bus, const struct operation_record *operation)
{
	_cleanup_free_ char *path = bus_object_path(SCOPE_OPERATION, operation->id);
	sd_bus_message *m = NULL;
	int r = signal_new(bus, SIGNAL_STARTED, &m);

	if (r >= 0)
		r = sd_bus_message_append(m, "oss", path, operation->id, operation_type_names[operation->type]);
	if (r >= 0)
		r = bus_append_text(m, operation->volume_id);
	signal_send(bus, SIGNAL_STARTED, m, r);
}

/* The whole record: error, error_code, step, vm_id, request, response and what is added to it later. */
static void emit_completed(struct bus *bus, const struct operation_record *operation)
{
	_cleanup_free_ char *path = bus_object_path(SCOPE_OPERATION, operation->id);
	const char *response_text = operation->response;
	_cleanup_json_ struct json *response =
		response_text ? json_parse(response_text, strlen(response_text), NULL) : NULL;
	sd_bus_message *m = NULL;
	int r = signal_new(bus, SIGNAL_COMPLETED, &m);

	if (r >= 0)
		r = sd_bus_message_append(m, "osss", path, operation->id, operation_type_names[operation->type],
					  operation_status_names[operation->status]);
	if (r >= 0)
		r = bus_append_text(m, operation->volume_id);
	if (r >= 0)
		r = bus_append_text(m, json_text(json_get(response, "device_path")));
	if (r >= 0)
		r = bus_append_record(m, &operation_record, operation);
	signal_send(bus, SIGNAL_COMPLETED, m, r);
}

static void missed_drop_oldest(struct bus *bus)
{
	struct missed_completion *missed = TAILQ_FIRST(&bus->missed);

	TAILQ_REMOVE(&bus->missed, missed, entry);
	bus->missed_count--;
	record_clear(&operation_record, &missed->operation);
	free(missed);
}

static void missed_add(struct bus *bus, const struct operation_record *operation)
{
	struct missed_completion *missed = xnew(struct missed_completion);

	if (bus->missed_count == MISSED_MAX)
		missed_drop_oldest(bus);
	record_copy(&operation_record, &missed->operation, operation);
	TAILQ_INSERT_TAIL(&bus->missed, missed, entry);
	bus->missed_count++;
}

void bus_signals_begin(struct bus *bus)
{
	for (; !TAILQ_EMPTY(&bus->missed); missed_drop_oldest(bus))
		emit_completed(bus, &TAILQ_FIRST(&bus->missed)->operation);
}

static void emit_device(struct bus *bus, int which, const struct device_record *device)
{
	sd_bus_message *m = NULL;
	int r = signal_new(bus, which, &m);

	if (r >= 0)
		r = bus_append_text(m, device->device_path);
	if (r >= 0)
		r = bus_append_record(m, &device_record, device);
	signal_send(bus, which, m, r);
}

static void emit_mapping(struct bus *bus, const struct mapping_record *mapping, bool removed)
{
	sd_bus_message *m = NULL;
	int r = signal_new(bus, SIGNAL_MAPPING, &m);

	if (r >= 0)
		r = bus_append_text(m, mapping->volume_id);
	if (r >= 0)
		r = bus_append_text(m, removed ? "" : mapping->device_path);
	if (r >= 0)
		r = bus_append_record(m, &mapping_record, mapping);
	signal_send(bus, SIGNAL_MAPPING, m, r);
}

static void emit_drift(struct bus *bus, const struct drift_record *drift)
{
	sd_bus_message *m = NULL;
	int r = signal_new(bus, SIGNAL_DRIFT, &m);

	if (r >= 0)
		r = bus_append_text(m, drift_kind_names[drift->kind]);
	if (r >= 0)
		r = bus_append_record(m, &drift_record, drift);
	signal_send(bus, SIGNAL_DRIFT, m, r);
}

static void emit_event(struct bus *bus, const struct core_event *event)
{
	switch (event->type) {
	case EVENT_OPERATION_STARTED:
		emit_added(bus, SCOPE_OPERATION, event->id);
		emit_started(bus, event->operation);
		break;
	case EVENT_OPERATION_ENDED:
		dirty_forget(bus, SCOPE_OPERATION, event->id, true);
		emit_completed(bus, event->operation);
		break;
	case EVENT_OPERATION_FORGOTTEN:
		emit_removed(bus, SCOPE_OPERATION, event->id);
		break;
	case EVENT_DEVICE_ADDED:
		emit_device(bus, SIGNAL_DEVICE_ADDED, event->device);
		break;
	case EVENT_DEVICE_REMOVED:
		emit_device(bus, SIGNAL_DEVICE_REMOVED, event->device);
		break;
	case EVENT_MAPPING_CHANGED:
		emit_mapping(bus, event->mapping, false);
		break;
	case EVENT_MAPPING_REMOVED:
		emit_mapping(bus, event->mapping, true);
		break;
	case EVENT_DRIFT_FOUND:
		emit_drift(bus, event->drift);
		break;
	case EVENT_VOLUME_ADDED:
		emit_added(bus, SCOPE_VOLUME, event->id);
		break;
	case EVENT_VOLUME_REMOVED:
		emit_removed(bus, SCOPE_VOLUME, event->id);
		break;
	case EVENT_EXPORT_ADDED:
		emit_added(bus, SCOPE_EXPORT, event->id);
		break;
	case EVENT_EXPORT_REMOVED:
		emit_removed(bus, SCOPE_EXPORT, event->id);
		break;
	case EVENT_OPERATION_CHANGED:
	case EVENT_VOLUME_CHANGED:
	case EVENT_EXPORT_CHANGED:
	case EVENT_DEVICE_CHANGED: /* no signal of its own: a mapped device shows in its volume's properties */
	case EVENT_TYPE_COUNT:
		break;
	}
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct bus *bus = container_of(listener, struct bus, listener);

	switch (event->type) {
	case EVENT_OPERATION_CHANGED:
		dirty_mark(bus, SCOPE_OPERATION, event->id);
		return;
	case EVENT_VOLUME_CHANGED:
		dirty_mark(bus, SCOPE_VOLUME, event->id);
		return;
	case EVENT_EXPORT_CHANGED:
		dirty_mark(bus, SCOPE_EXPORT, event->id);
		return;
	case EVENT_OPERATION_FORGOTTEN:
		dirty_forget(bus, SCOPE_OPERATION, event->id, false);
		break;
	case EVENT_VOLUME_REMOVED:
		dirty_forget(bus, SCOPE_VOLUME, event->id, false);
		break;
	case EVENT_EXPORT_REMOVED:
		dirty_forget(bus, SCOPE_EXPORT, event->id, false);
		break;
	case EVENT_OPERATION_ENDED:
		dirty_mark(bus, SCOPE_OPERATION, event->id);
		if (!bus->ready)
			missed_add(bus, event->operation);
		break;
	case EVENT_OPERATION_STARTED:
	case EVENT_DEVICE_ADDED:
	case EVENT_DEVICE_REMOVED:
	case EVENT_DEVICE_CHANGED:
	case EVENT_MAPPING_CHANGED:
	case EVENT_MAPPING_REMOVED:
	case EVENT_VOLUME_ADDED:
	case EVENT_EXPORT_ADDED:
	case EVENT_DRIFT_FOUND:
	case EVENT_TYPE_COUNT:
		break;
	}
	if (may_emit(bus))
		emit_event(bus, event);
}

void bus_signals_init(struct bus *bus)
{
	TAILQ_INIT(&bus->dirty);
	TAILQ_INIT(&bus->missed);
	bus->flush_task.run = on_flush_task;
	bus->flush_timer.fire = on_flush_timer;
	bus->listener.on_event = on_event;
	core_listen(bus->core, &bus->listener);
}

/* Forgets what is marked: after a new connection clients read everything anew. */
void bus_signals_reset(struct bus *bus)
{
	while (!TAILQ_EMPTY(&bus->dirty))
		dirty_free(bus, TAILQ_FIRST(&bus->dirty));
	loop_task_cancel(bus->loop, &bus->flush_task);
	loop_timer_clear(bus->loop, &bus->flush_timer);
	bus->overflow_logged = false;
}

void bus_signals_fini(struct bus *bus)
{
	core_unlisten(bus->core, &bus->listener);
	while (!TAILQ_EMPTY(&bus->missed))
		missed_drop_oldest(bus);
	bus_signals_reset(bus);
	assert(!bus->dirty_tree);
}
