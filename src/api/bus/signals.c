/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events of core become signals. An event comes after its fact is durable, so a client can rely on
 * the signal.
 *
 * There are two kinds. The Manager's own signals are sent one for each event. PropertiesChanged
 * tells the state of an object and not its history, so an object that changes is only marked; once
 * a turn each marked object is sent once, with the properties that differ from what was sent
 * before. A Manager's signal waits for no other turn, but all marked objects go first: what a
 * signal tells is there already when it comes, also for a client that keeps the properties of all
 * objects and looks nowhere else.
 *
 * A bus that does not read must not make the daemon grow. If more than QUEUE_MAX messages are
 * unwritten, signals are left out (logged once until the queue has drained) and marked objects
 * simply wait, for there are never more marks than objects. While the daemon does not have its
 * name, the daemon sends nothing at all: clients read everything anew when the name appears. Only
 * completions are kept and sent later in both cases: after a start some operations end before the
 * bus is there, and a client may wait for such an operation.
 */

#include "api/bus/signals.h"

#include <errno.h>

#include "api/bus/encode.h"
#include "api/bus/signal_table.h"
#include "base/log.h"
#include "io/bus_codec.h"

#define FLUSH_RETRY_MS 200
/* Messages that wait for the bus to read; above this number no signal is emitted. */
#define QUEUE_MAX 1000
/* Completions kept while none can be sent; beyond this number the oldest are left out. */
#define LATE_MAX 1000

/* An operation that ended while nothing could be sent. */
struct late_completion {
	TAILQ_ENTRY(late_completion) entry;
	struct operation_record operation;
};

/* True when a signal may be sent now. */
static bool may_emit(struct bus_signals *signals)
{
	size_t queued;

	if (!signals->connection->ready)
		return false;
	queued = bus_connection_queued(signals->connection);
	if (queued > QUEUE_MAX) {
		if (!signals->overflow_logged)
			log_warning(
				"bus: %zu messages wait to be read; signals are left out until they are",
				queued);
		signals->overflow_logged = true;
		return false;
	}
	if (queued == 0)
		signals->overflow_logged = false;
	return true;
}

/* The same; if it is false, the flush is tried again later. */
static bool may_flush(struct bus_signals *signals)
{
	if (may_emit(signals))
		return true;
	loop_timer_set(signals->loop, &signals->flush_timer, FLUSH_RETRY_MS);
	return false;
}

static int signal_new(struct bus_signals *signals, int which, sd_bus_message **out)
{
	return sd_bus_message_new_signal(signals->connection->sd_bus, out, BUS_ROOT,
					 scopes[SCOPE_MANAGER].interface,
					 bus_signal_table[which].member);
}

static void signal_send(struct bus_signals *signals, int which, sd_bus_message *m, int r)
{
	if (r >= 0)
		r = sd_bus_send(signals->connection->sd_bus, m, NULL);
	if (r < 0)
		log_warning("bus: signal %s was not sent: %s", bus_signal_table[which].member,
			    strerror(-r));
	sd_bus_message_unref(m);
}

/* --- PropertiesChanged --- */

static void mark(struct bus_signals *signals, enum method_scope scope, const char *id)
{
	if (!signals->connection->ready)
		return;
	told_mark(&signals->told, scope, id);
	loop_task_queue(signals->loop, &signals->flush_task);
}

static void emit_changed(struct bus_signals *signals, struct told_object *object)
{
	const void *values = bus_objects_get(signals->objects, object->scope, object->id);
	char **names;
	int r;

	/* The object may have gone since it was marked. */
	if (!values) {
		told_forget(&signals->told, object);
		return;
	}
	names = told_update(&signals->told, object, values);
	if (!names)
		return;
	r = sd_bus_emit_properties_changed_strv(signals->connection->sd_bus, object->path,
						scopes[object->scope].interface, names);
	if (r < 0)
		log_debug("bus: no PropertiesChanged for %s: %s", object->path, strerror(-r));
	told_names_free(names);
}

/* False if some marked objects have to wait. */
static bool flush_marked(struct bus_signals *signals)
{
	while (!TAILQ_EMPTY(&signals->told.dirty)) {
		if (!may_flush(signals))
			return false;
		emit_changed(signals, TAILQ_FIRST(&signals->told.dirty));
	}
	return true;
}

/* --- objects that come and go --- */

static void emit_added(struct bus_signals *signals, enum method_scope scope, const char *id)
{
	const void *values = bus_objects_get(signals->objects, scope, id);
	_cleanup_free_ char *path = bus_object_path(scope, id);
	int r;

	/* It may have gone already. */
	if (!values)
		return;
	told_note(&signals->told, scope, id, values);
	r = sd_bus_emit_interfaces_added(signals->connection->sd_bus, path, scopes[scope].interface,
					 NULL);
	if (r < 0)
		log_debug("bus: no InterfacesAdded for %s: %s", path, strerror(-r));
}

static void emit_removed(struct bus_signals *signals, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);
	int r = sd_bus_emit_interfaces_removed(signals->connection->sd_bus, path,
					       scopes[scope].interface, NULL);

	if (r < 0)
		log_debug("bus: no InterfacesRemoved for %s: %s", path, strerror(-r));
}

/* --- the Manager's signals --- */

static void emit_started(struct bus_signals *signals, const struct operation_record *operation)
{
	_cleanup_free_ char *path = bus_object_path(SCOPE_OPERATION, operation->id);
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_STARTED, &m);

	if (r >= 0)
		r = sd_bus_message_append(m, "oss", path, operation->id,
					  operation_type_names[operation->type]);
	if (r >= 0)
		r = bus_append_text(m, operation->volume_id);
	signal_send(signals, SIGNAL_STARTED, m, r);
}

/* The whole record: error, error_code, step, vm_id, request, response and later additions. */
static void emit_completed(struct bus_signals *signals, const struct operation_record *operation)
{
	_cleanup_free_ char *path = bus_object_path(SCOPE_OPERATION, operation->id);
	const char *response_text = operation->response;
	_cleanup_json_ struct json *response =
		response_text ? json_parse(response_text, strlen(response_text), NULL) : NULL;
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_COMPLETED, &m);

	if (r >= 0)
		r = sd_bus_message_append(m, "osss", path, operation->id,
					  operation_type_names[operation->type],
					  operation_status_names[operation->status]);
	if (r >= 0)
		r = bus_append_text(m, operation->volume_id);
	if (r >= 0)
		r = bus_append_text(m, json_text(json_get(response, "device_path")));
	if (r >= 0)
		r = bus_append_record(m, &operation_record, operation);
	signal_send(signals, SIGNAL_COMPLETED, m, r);
}

static void late_drop_oldest(struct bus_signals *signals)
{
	struct late_completion *late = TAILQ_FIRST(&signals->late);

	TAILQ_REMOVE(&signals->late, late, entry);
	signals->late_count--;
	record_clear(&operation_record, &late->operation);
	free(late);
}

static void late_add(struct bus_signals *signals, const struct operation_record *operation)
{
	struct late_completion *late = xnew(struct late_completion);

	if (signals->late_count == LATE_MAX)
		late_drop_oldest(signals);
	record_copy(&operation_record, &late->operation, operation);
	TAILQ_INSERT_TAIL(&signals->late, late, entry);
	signals->late_count++;
}

/* False if some completions have to wait. */
static bool send_late(struct bus_signals *signals)
{
	for (; !TAILQ_EMPTY(&signals->late); late_drop_oldest(signals)) {
		if (!may_flush(signals))
			return false;
		emit_completed(signals, &TAILQ_FIRST(&signals->late)->operation);
	}
	return true;
}

/* False if something has to wait. */
static bool flush(struct bus_signals *signals)
{
	return flush_marked(signals) && send_late(signals);
}

static void on_flush_task(struct loop_task *task)
{
	flush(container_of(task, struct bus_signals, flush_task));
}

static void on_flush_timer(struct loop_timer *timer)
{
	flush(container_of(timer, struct bus_signals, flush_timer));
}

struct baseline {
	struct bus_signals *signals;
	enum method_scope scope;
};

static void note_one(void *arg, const char *id)
{
	const struct baseline *baseline = arg;
	struct bus_signals *signals = baseline->signals;
	const void *values = bus_objects_get(signals->objects, baseline->scope, id);

	if (values)
		told_note(&signals->told, baseline->scope, id, values);
}

/* Clients read all objects when the name appears: that counts as told. */
void bus_signals_begin(struct bus_signals *signals)
{
	struct baseline baseline = { .signals = signals };

	for (baseline.scope = SCOPE_VOLUME; baseline.scope < SCOPE_COUNT; baseline.scope++)
		bus_objects_each(signals->objects, baseline.scope, note_one, &baseline);
	send_late(signals);
}

static void emit_device(struct bus_signals *signals, int which, const struct device_record *device)
{
	sd_bus_message *m = NULL;
	int r = signal_new(signals, which, &m);

	if (r >= 0)
		r = bus_append_text(m, device->device_path);
	if (r >= 0)
		r = bus_append_record(m, &device_record, device);
	signal_send(signals, which, m, r);
}

static void emit_mapping(struct bus_signals *signals, const struct mapping_record *mapping,
			 bool removed)
{
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_MAPPING, &m);

	if (r >= 0)
		r = bus_append_text(m, mapping->volume_id);
	if (r >= 0)
		r = bus_append_text(m, removed ? "" : mapping->device_path);
	if (r >= 0)
		r = bus_append_record(m, &mapping_record, mapping);
	signal_send(signals, SIGNAL_MAPPING, m, r);
}

static void emit_drift(struct bus_signals *signals, const struct drift_record *drift)
{
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_DRIFT, &m);

	if (r >= 0)
		r = bus_append_text(m, drift_kind_names[drift->kind]);
	if (r >= 0)
		r = bus_append_record(m, &drift_record, drift);
	signal_send(signals, SIGNAL_DRIFT, m, r);
}

static void emit_event(struct bus_signals *signals, const struct core_event *event)
{
	switch (event->type) {
	case EVENT_OPERATION_STARTED:
		emit_added(signals, SCOPE_OPERATION, event->id);
		emit_started(signals, event->operation);
		break;
	case EVENT_OPERATION_ENDED:
		emit_completed(signals, event->operation);
		break;
	case EVENT_OPERATION_FORGOTTEN:
		emit_removed(signals, SCOPE_OPERATION, event->id);
		break;
	case EVENT_DEVICE_ADDED:
		emit_device(signals, SIGNAL_DEVICE_ADDED, event->device);
		break;
	case EVENT_DEVICE_REMOVED:
		emit_device(signals, SIGNAL_DEVICE_REMOVED, event->device);
		break;
	case EVENT_MAPPING_CHANGED:
		emit_mapping(signals, event->mapping, false);
		break;
	case EVENT_MAPPING_REMOVED:
		emit_mapping(signals, event->mapping, true);
		break;
	case EVENT_DRIFT_FOUND:
		emit_drift(signals, event->drift);
		break;
	case EVENT_VOLUME_ADDED:
		emit_added(signals, SCOPE_VOLUME, event->id);
		break;
	case EVENT_VOLUME_REMOVED:
		emit_removed(signals, SCOPE_VOLUME, event->id);
		break;
	case EVENT_EXPORT_ADDED:
		emit_added(signals, SCOPE_EXPORT, event->id);
		break;
	case EVENT_EXPORT_REMOVED:
		emit_removed(signals, SCOPE_EXPORT, event->id);
		break;
	case EVENT_OPERATION_CHANGED:
	case EVENT_VOLUME_CHANGED:
	case EVENT_EXPORT_CHANGED:
	case EVENT_DEVICE_CHANGED: /* the volume's properties show a mapped device */
	case EVENT_HEALTH_CHANGED:
	case EVENT_TOKEN_REVOKED:
	case EVENT_TYPE_COUNT:
		break;
	}
}

static void forget(struct bus_signals *signals, enum method_scope scope, const char *id)
{
	told_forget(&signals->told, told_find(&signals->told, scope, id));
}

/* True if the event tells nothing but the state of an object. */
static bool note_event(struct bus_signals *signals, const struct core_event *event)
{
	switch (event->type) {
	case EVENT_OPERATION_CHANGED:
		mark(signals, SCOPE_OPERATION, event->id);
		return true;
	case EVENT_VOLUME_CHANGED:
		mark(signals, SCOPE_VOLUME, event->id);
		return true;
	case EVENT_EXPORT_CHANGED:
		mark(signals, SCOPE_EXPORT, event->id);
		return true;
	case EVENT_OPERATION_FORGOTTEN:
		forget(signals, SCOPE_OPERATION, event->id);
		return false;
	case EVENT_VOLUME_REMOVED:
		forget(signals, SCOPE_VOLUME, event->id);
		return false;
	case EVENT_EXPORT_REMOVED:
		forget(signals, SCOPE_EXPORT, event->id);
		return false;
	case EVENT_OPERATION_ENDED:
		mark(signals, SCOPE_OPERATION, event->id);
		return false;
	case EVENT_OPERATION_STARTED:
	case EVENT_DEVICE_ADDED:
	case EVENT_DEVICE_REMOVED:
	case EVENT_MAPPING_CHANGED:
	case EVENT_MAPPING_REMOVED:
	case EVENT_VOLUME_ADDED:
	case EVENT_EXPORT_ADDED:
	case EVENT_DRIFT_FOUND:
		return false;
	case EVENT_DEVICE_CHANGED:
	case EVENT_HEALTH_CHANGED:
	case EVENT_TOKEN_REVOKED:
	case EVENT_TYPE_COUNT:
		break;
	}
	return true;
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct bus_signals *signals = container_of(listener, struct bus_signals, listener);

	if (note_event(signals, event))
		return;
	if (may_emit(signals) && flush(signals))
		emit_event(signals, event);
	else if (event->type == EVENT_OPERATION_ENDED)
		late_add(signals, event->operation);
}

void bus_signals_init(struct bus_signals *signals, struct loop *loop, struct core *core,
		      struct bus_objects *objects, const struct bus_connection *connection)
{
	*signals = (struct bus_signals){
		.loop = loop,
		.core = core,
		.objects = objects,
		.connection = connection,
	};
	told_init(&signals->told);
	TAILQ_INIT(&signals->late);
	signals->flush_task.run = on_flush_task;
	signals->flush_timer.fire = on_flush_timer;
	signals->listener.on_event = on_event;
	core_listen(signals->core, &signals->listener);
}

void bus_signals_reset(struct bus_signals *signals)
{
	told_clear(&signals->told);
	loop_task_cancel(signals->loop, &signals->flush_task);
	loop_timer_clear(signals->loop, &signals->flush_timer);
	signals->overflow_logged = false;
}

void bus_signals_fini(struct bus_signals *signals)
{
	core_unlisten(signals->core, &signals->listener);
	while (!TAILQ_EMPTY(&signals->late))
		late_drop_oldest(signals);
	bus_signals_reset(signals);
}
