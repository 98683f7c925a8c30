/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events of core become signals. An event comes after its fact is durable, so a client can rely on
 * the signal.
 *
 * There are two kinds. The Manager's own signals are sent one for each event. InterfacesAdded,
 * PropertiesChanged and InterfacesRemoved tell which objects there are and in which state, and not
 * their history, so an object that changes is only marked; once a turn each marked object is
 * settled, and the difference to what was told before is sent; an object that a client reads is
 * settled before. A Manager's signal waits for no other turn, but all marked objects go first: what
 * a signal tells is there already when it comes, also for a client that keeps the properties of all
 * objects and looks nowhere else.
 *
 * A bus that does not read must not make the daemon grow. If more than QUEUE_MAX messages are
 * unwritten, signals are left out (logged once until the queue has drained) and marked objects
 * simply wait, for there are never more marks than objects. While the daemon does not have its
 * name, marked objects are settled and nothing is sent: clients read everything anew when the name
 * appears. Only completions are kept and sent later in both cases: after a start some operations
 * end before the bus is there, and a client may wait for such an operation.
 */

#include "api/bus/signals.h"

#include <errno.h>

#include "api/bus/encode.h"
#include "api/bus/signal_table.h"
#include "api/bus/vtable.h"
#include "base/log.h"
#include "io/bus_codec.h"
#include "spec/members.h"

#define FLUSH_RETRY_MS 200
/* Messages that wait for the bus to read; above this number no signal is emitted. */
#define QUEUE_MAX 1000
/*
 * Of these, messages that wait for a list (enumeration.c); above this number the list is hurried.
 * The bus reads them in later turns only, and behind the list: the rest of the queue is the room
 * for the signals that come meanwhile.
 */
#define HURRY_AT (QUEUE_MAX / 2)
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
	if (signals->connection->held_count > HURRY_AT)
		bus_connection_hurry(signals->connection);
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
		r = bus_connection_send(signals->connection, m);
	if (r < 0)
		log_warning("bus: signal %s was not sent: %s", bus_signal_table[which].member,
			    strerror(-r));
	sd_bus_message_unref(m);
}

/* --- objects --- */

/* Sends a signal about objects, whose arguments were appended with the result r. */
static void object_signal_send(struct bus_signals *signals, sd_bus_message *m, int r)
{
	if (r >= 0)
		r = bus_connection_send(signals->connection, m);
	if (r < 0)
		log_debug("bus: a signal about an object was not sent: %s", strerror(-r));
	sd_bus_message_unref(m);
}

static int manager_signal_new(struct bus_signals *signals, const char *member, const char *path,
			      sd_bus_message **out)
{
	int r = sd_bus_message_new_signal(signals->connection->sd_bus, out, BUS_ROOT,
					  "org.freedesktop.DBus.ObjectManager", member);

	return r < 0 ? r : sd_bus_message_append_basic(*out, 'o', path);
}

static void emit_added(struct bus_signals *signals, enum method_scope scope, const char *path,
		       const void *values)
{
	sd_bus_message *m = NULL;
	int r = manager_signal_new(signals, "InterfacesAdded", path, &m);

	if (r >= 0)
		r = bus_append_interfaces(m, scope, values);
	object_signal_send(signals, m, r);
}

static void emit_removed(struct bus_signals *signals, enum method_scope scope, const char *path)
{
	sd_bus_message *m = NULL;
	int r = manager_signal_new(signals, "InterfacesRemoved", path, &m);

	if (r >= 0)
		r = sd_bus_message_append(m, "as", 1, scopes[scope].interface);
	object_signal_send(signals, m, r);
}

static void emit_changed(struct bus_signals *signals, enum method_scope scope, const char *path,
			 const void *values, uint64_t fields)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_signal(signals->connection->sd_bus, &m, path,
					  "org.freedesktop.DBus.Properties", "PropertiesChanged");

	if (r >= 0)
		r = bus_append_changed(m, scope, values, fields);
	object_signal_send(signals, m, r);
}

static void settle(struct bus_signals *signals, struct bus_object *object)
{
	enum method_scope scope = object->scope;
	_cleanup_free_ char *path = bus_object_path(scope, object->id);
	uint64_t fields = 0;
	enum directory_change change = directory_settle(&signals->directory, object, &fields);

	if (!signals->connection->ready)
		return;
	switch (change) {
	case DIRECTORY_SAME:
		break;
	case DIRECTORY_REPLACED:
		emit_removed(signals, scope, path);
		emit_added(signals, scope, path, object->values);
		break;
	case DIRECTORY_ADDED:
		emit_added(signals, scope, path, object->values);
		break;
	case DIRECTORY_CHANGED:
		emit_changed(signals, scope, path, object->values, fields);
		break;
	case DIRECTORY_REMOVED:
		emit_removed(signals, scope, path);
		break;
	}
}

static void tell_hidden(struct bus_signals *signals, enum method_scope scope)
{
	uint32_t hidden = (uint32_t)directory_hidden(&signals->directory, scope);
	int r;

	if (hidden == signals->told_hidden[scope])
		return;
	signals->told_hidden[scope] = hidden;
	if (!signals->connection->ready)
		return;
	r = sd_bus_emit_properties_changed(signals->connection->sd_bus, BUS_ROOT,
					   scopes[SCOPE_MANAGER].interface, bus_hidden_names[scope],
					   NULL);
	if (r < 0)
		log_debug("bus: no PropertiesChanged of the Manager: %s", strerror(-r));
}

/* False if some marked objects have to wait. */
static bool flush_marked(struct bus_signals *signals)
{
	struct bus_object *object;

	while ((object = directory_dirty(&signals->directory))) {
		if (signals->connection->ready && !may_flush(signals))
			return false;
		settle(signals, object);
	}
	return true;
}

static void on_dirty(void *arg)
{
	struct bus_signals *signals = arg;

	loop_task_queue(signals->loop, &signals->flush_task);
}

/* An operation and its volume, named by a signal of the Manager. */
static void name_operation(struct bus_signals *signals, const struct operation_record *operation)
{
	struct directory *directory = &signals->directory;

	directory_name(directory, SCOPE_OPERATION, operation->id);
	if (!directory_find(directory, SCOPE_OPERATION, operation->id))
		directory_change(directory, SCOPE_OPERATION, operation->id, operation);
	if (!str_empty(operation->volume_id))
		directory_name(directory, SCOPE_VOLUME, operation->volume_id);
}

void bus_signals_name(struct bus_signals *signals, enum method_scope scope, const char *id,
		      const void *values)
{
	struct directory *directory = &signals->directory;

	directory_name(directory, scope, id);
	/* Core answers a turn before it tells its listeners, and the client reads the object after
	 * the reply. The events of an operation are its states in turn, so it does not get ahead of
	 * them. */
	if (scope != SCOPE_OPERATION || !directory_find(directory, scope, id))
		directory_change(directory, scope, id, values);
	/* The object is there before the reply, also if other objects have to wait. */
	bus_signals_settle(signals, scope, id);
}

void bus_signals_settle(struct bus_signals *signals, enum method_scope scope, const char *id)
{
	struct bus_object *object = directory_dirty_at(&signals->directory, scope, id);

	if (object)
		settle(signals, object);
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
		r = bus_append_text(m,
				    bus_device(json_text(json_get(response, "device_path")), NULL));
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
		const struct operation_record *operation = &TAILQ_FIRST(&signals->late)->operation;

		if (!may_flush(signals))
			return false;
		name_operation(signals, operation);
		if (!flush_marked(signals))
			return false;
		emit_completed(signals, operation);
	}
	return true;
}

/* False if something has to wait. */
static bool flush(struct bus_signals *signals)
{
	return flush_marked(signals) && (!signals->connection->ready || send_late(signals));
}

/* How many objects are hidden is told once a turn, also if many operations begin in it. */
static void flush_all(struct bus_signals *signals)
{
	if (!flush(signals))
		return;
	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++)
		tell_hidden(signals, scope);
}

static void on_flush_task(struct loop_task *task)
{
	flush_all(container_of(task, struct bus_signals, flush_task));
}

static void on_flush_timer(struct loop_timer *timer)
{
	flush_all(container_of(timer, struct bus_signals, flush_timer));
}

/* Clients read all objects when the name appears: that counts as told. */
void bus_signals_begin(struct bus_signals *signals)
{
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

static void emit_ready(struct bus_signals *signals, const struct device_record *device)
{
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_DEVICE_READY, &m);

	if (r >= 0)
		r = bus_append_text(m, device->volume_id);
	if (r >= 0)
		r = bus_append_text(m, device->device_path);
	if (r >= 0)
		r = bus_append_record(m, &device_record, device);
	signal_send(signals, SIGNAL_DEVICE_READY, m, r);
}

static void emit_mapping(struct bus_signals *signals, const struct mapping_record *mapping,
			 bool removed)
{
	sd_bus_message *m = NULL;
	int r = signal_new(signals, SIGNAL_MAPPING, &m);

	if (r >= 0)
		r = bus_append_text(m, mapping->volume_id);
	if (r >= 0)
		r = bus_append_text(m, removed ? "" : bus_device(mapping->device_path, NULL));
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
		emit_started(signals, event->operation);
		break;
	case EVENT_OPERATION_ENDED:
		emit_completed(signals, event->operation);
		break;
	case EVENT_DEVICE_ADDED:
		emit_device(signals, SIGNAL_DEVICE_ADDED, event->device);
		break;
	case EVENT_DEVICE_REMOVED:
		emit_device(signals, SIGNAL_DEVICE_REMOVED, event->device);
		break;
	case EVENT_DEVICE_READY:
		emit_ready(signals, event->device);
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
	case EVENT_OPERATION_CHANGED:
	case EVENT_OPERATION_FORGOTTEN: /* the directory has its own copy */
	case EVENT_VOLUME_ADDED:
	case EVENT_VOLUME_CHANGED:
	case EVENT_VOLUME_REMOVED:
	case EVENT_EXPORT_ADDED:
	case EVENT_EXPORT_CHANGED:
	case EVENT_EXPORT_REMOVED:
	case EVENT_DEVICE_CHANGED: /* the volume's properties show a mapped device */
	case EVENT_HEALTH_CHANGED:
	case EVENT_TOKEN_REVOKED:
	case EVENT_TYPE_COUNT:
		break;
	}
}

/* --- the directory follows core --- */

static void note_volume(void *arg, const char *id)
{
	struct bus_signals *signals = arg;
	const char *vm_id = core_volume_vm(signals->core, id);

	if (!str_empty(vm_id))
		directory_keep(&signals->directory, SCOPE_VOLUME, id,
			       streq(vm_id, signals->appliance_id));
	else
		directory_release(&signals->directory, SCOPE_VOLUME, id);
	directory_change(&signals->directory, SCOPE_VOLUME, id, NULL);
}

static void note_export(void *arg, const char *id)
{
	struct bus_signals *signals = arg;

	directory_keep(&signals->directory, SCOPE_EXPORT, id, false);
	directory_change(&signals->directory, SCOPE_EXPORT, id, NULL);
}

static void note_operation(struct bus_signals *signals, const struct operation_record *operation)
{
	if (operation_status_is_final(operation->status))
		directory_release(&signals->directory, SCOPE_OPERATION, operation->id);
	else
		directory_keep(&signals->directory, SCOPE_OPERATION, operation->id, false);
}

static void note_operation_at_first(void *arg, const char *id)
{
	struct bus_signals *signals = arg;

	note_operation(signals, core_operation(signals->core, id));
}

/* The machine may have learned only now which one it is. */
static void follow_appliance(struct bus_signals *signals)
{
	if (streq(signals->appliance_id, core_appliance_id(signals->core)))
		return;
	str_set(&signals->appliance_id, core_appliance_id(signals->core));
	core_each_volume(signals->core, note_volume, signals);
}

/* True if the event tells more than the state of an object. */
static bool note_event(struct bus_signals *signals, const struct core_event *event)
{
	struct directory *directory = &signals->directory;

	switch (event->type) {
	case EVENT_OPERATION_STARTED:
	case EVENT_OPERATION_ENDED:
		note_operation(signals, event->operation);
		name_operation(signals, event->operation);
		directory_change(directory, SCOPE_OPERATION, event->id, event->operation);
		return true;
	case EVENT_OPERATION_CHANGED:
		directory_change(directory, SCOPE_OPERATION, event->id, event->operation);
		return false;
	case EVENT_VOLUME_ADDED:
	case EVENT_VOLUME_CHANGED:
		follow_appliance(signals);
		note_volume(signals, event->id);
		return false;
	case EVENT_VOLUME_REMOVED:
		directory_drop(directory, SCOPE_VOLUME, event->id);
		return false;
	case EVENT_EXPORT_ADDED:
	case EVENT_EXPORT_CHANGED:
		note_export(signals, event->id);
		return false;
	case EVENT_EXPORT_REMOVED:
		directory_drop(directory, SCOPE_EXPORT, event->id);
		return false;
	case EVENT_DEVICE_ADDED:
	case EVENT_DEVICE_REMOVED:
	case EVENT_DEVICE_READY:
	case EVENT_MAPPING_CHANGED:
	case EVENT_MAPPING_REMOVED:
	case EVENT_DRIFT_FOUND:
		return true;
	case EVENT_OPERATION_FORGOTTEN:
	case EVENT_DEVICE_CHANGED:
	case EVENT_HEALTH_CHANGED:
	case EVENT_TOKEN_REVOKED:
	case EVENT_TYPE_COUNT:
		break;
	}
	return false;
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct bus_signals *signals = container_of(listener, struct bus_signals, listener);

	if (!note_event(signals, event))
		return;
	if (may_emit(signals) && flush(signals))
		emit_event(signals, event);
	else if (event->type == EVENT_OPERATION_ENDED)
		late_add(signals, event->operation);
}

void bus_signals_init(struct bus_signals *signals, struct loop *loop, struct core *core,
		      struct bus_connection *connection)
{
	*signals = (struct bus_signals){
		.loop = loop,
		.core = core,
		.connection = connection,
		.appliance_id = xstrdup(core_appliance_id(core)),
	};
	TAILQ_INIT(&signals->late);
	signals->flush_task.run = on_flush_task;
	signals->flush_timer.fire = on_flush_timer;
	signals->listener.on_event = on_event;
	directory_init(&signals->directory, loop, core, on_dirty, signals);
	core_each_volume(core, note_volume, signals);
	core_each_export(core, note_export, signals);
	core_each_operation(core, note_operation_at_first, signals);
	core_listen(signals->core, &signals->listener);
}

void bus_signals_fini(struct bus_signals *signals)
{
	core_unlisten(signals->core, &signals->listener);
	while (!TAILQ_EMPTY(&signals->late))
		late_drop_oldest(signals);
	directory_fini(&signals->directory);
	loop_task_cancel(signals->loop, &signals->flush_task);
	loop_timer_clear(signals->loop, &signals->flush_timer);
	free(signals->appliance_id);
}
