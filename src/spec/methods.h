/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All requests the daemon can answer, as const data. A method is one row of methods[]; REST routes,
 * D-Bus vtables, introspection and volumectl's subcommands with their help are walks over this
 * table, and no surface has a list of its own. Handlers are bound to rows in core/, so that client
 * programs need none of them.
 */

#include "spec/records.h"

#define BUS_NAME "org.migratekit.VolumeDaemon1"
#define BUS_ROOT "/org/migratekit/VolumeDaemon1"
/* A constant property of every interface, which rises when something is added to one of them. */
#define BUS_VERSION_PROPERTY "InterfaceVersion"
#define BUS_VERSION UINT32_C(1)

enum method_id {
	METHOD_VOLUME_CREATE,
	METHOD_VOLUME_ATTACH,
	METHOD_VOLUME_ATTACH_ROOT,
	METHOD_VOLUME_DETACH,
	METHOD_VOLUME_DELETE,
	METHOD_VOLUME_RESIZE,
	METHOD_VOLUME_CLEANUP,
	METHOD_VOLUME_LIST,
	METHOD_VOLUME_GET,
	METHOD_VOLUME_DEVICE,
	METHOD_VOLUME_USERS,
	METHOD_VOLUME_OPEN,
	METHOD_VOLUME_FORGET,
	METHOD_VM_VOLUMES,
	METHOD_VM_LIST,
	METHOD_OFFERING_LIST,
	METHOD_ZONE_LIST,
	METHOD_RIGHT_LIST,
	METHOD_MAPPING_LIST,
	METHOD_DEVICE_LIST,
	METHOD_DEVICE_VOLUME,
	METHOD_EXPORT_CREATE,
	METHOD_EXPORT_LIST,
	METHOD_EXPORT_GET,
	METHOD_EXPORT_DELETE,
	METHOD_EXPORT_VALIDATE,
	METHOD_EXPORT_CLEANUP,
	METHOD_EXPORT_CLEANUP_AGE,
	METHOD_EXPORT_ORPHANS,
	METHOD_VOLUME_SNAPSHOT,
	METHOD_VOLUME_SNAPSHOTS,
	METHOD_VOLUME_REVERT,
	METHOD_VOLUME_DELETE_SNAPSHOT,
	METHOD_SNAPSHOT_TRACK,
	METHOD_SNAPSHOT_LIST,
	METHOD_SNAPSHOT_UPDATE,
	METHOD_SNAPSHOT_UNTRACK,
	METHOD_OPERATION_LIST,
	METHOD_OPERATION_GET,
	METHOD_OPERATION_HISTORY,
	METHOD_OPERATION_CANCEL,
	METHOD_OPERATION_RESOLVE,
	METHOD_TOKEN_CREATE,
	METHOD_TOKEN_LIST,
	METHOD_TOKEN_REVOKE,
	METHOD_FORCE_SYNC,
	METHOD_CHANGES_PAUSE,
	METHOD_CHANGES_RESUME,
	METHOD_CONFIG_RELOAD,
	METHOD_HEALTH_GET,
	METHOD_METRICS_GET,
	METHOD_PLAN_GET,
	METHOD_STORE_BACKUP,
	METHOD_STORE_CHECK,
	METHOD_STORE_PLAN,
	METHOD_STORE_ACCEPT,
	METHOD_COUNT
};

/* The kind of object a method belongs to; on D-Bus also its interface besides the Manager. */
enum method_scope { SCOPE_MANAGER, SCOPE_VOLUME, SCOPE_OPERATION, SCOPE_EXPORT, SCOPE_COUNT };

enum method_answer {
	ANSWER_ONE, /* a record: 200 */
	/* the record of the new object: 201 and Location; its path on D-Bus. bus_object
	 * SCOPE_MANAGER: the object is shown nowhere, so 201 alone, and the record on D-Bus */
	ANSWER_CREATED,
	ANSWER_MANY, /* records: 200 */
	/* an operation that was committed: 201 and Location; an object path on D-Bus */
	ANSWER_OPERATION,
	/* an open file, the only field of the record; SURFACES_BUS */
	ANSWER_DESCRIPTOR
};

/*
 * The surfaces that have a method. A method on the bus alone has no path and no command:
 * SURFACES_BUS is for requests that no web client should make, and that volumectl makes inside a
 * command of its own.
 */
enum method_surfaces { SURFACES_ALL, SURFACES_BUS };

enum http_verb { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_VERB_COUNT };
extern const char *const http_verb_names[HTTP_VERB_COUNT + 1];

struct method {
	const char *name;    /* "volume.attach" */
	const char *summary; /* one sentence for people */
	enum method_scope scope;
	enum method_access access;
	enum method_surfaces surfaces;
	enum operation_type operation; /* ANSWER_OPERATION: the operation that begins */
	enum http_verb verb;
	/*
	 * "/api/v1/volumes/{volume_id}/attach"; a name in braces is an argument. SURFACES_BUS: NULL
	 */
	const char *path;
	const char *path_alias; /* a second path for the same method, or NULL */
	const char *member;     /* D-Bus method of the Manager, "AttachVolume" */
	/* D-Bus method on the scope's own object, "Attach", or NULL */
	const char *object_member;
	const char *command; /* volumectl subcommand; SURFACES_BUS: NULL */
	const struct record *args;
	enum method_answer answer;
	const struct record *result; /* of one item */
	/* ANSWER_MANY: the member holding the array; NULL = a bare array */
	const char *list_key;
	/* ANSWER_MANY with a list_key: REST repeats this argument beside the list; or NULL */
	const char *list_subject;
	/* not SCOPE_MANAGER: on D-Bus the answer is the path of this object */
	enum method_scope bus_object;
};

extern const struct method methods[METHOD_COUNT];

/* The kinds of objects. The row of the Manager has neither a record nor the members after it. */
struct scope {
	const char *name;            /* "volume" */
	const char *path;            /* on D-Bus: the Manager's own, or the parent of the objects */
	const char *interface;       /* on D-Bus */
	const struct record *record; /* describes an object */
	const char *id;              /* the field of the record that names the object */
	const char *argument;        /* the argument of methods that names the object */
	enum method_id show;         /* the method that shows one object */
};

extern const struct scope scopes[SCOPE_COUNT];

/* The id of an object, which is a struct of the scope's record. */
const char *scope_id_of(enum method_scope scope, const void *object);
/* The kind of the object whose path D-Bus gets as the answer; SCOPE_MANAGER: no path. */
enum method_scope method_answer_scope(const struct method *method);

/* A change has a plan if a caller can ask for it: the argument with FIELD_PLAN. The answer is then
 * that of METHOD_PLAN_GET. */
bool method_can_plan(const struct method *method);
bool method_asks_plan(const struct method *method, const void *args);
void method_ask_plan(const struct method *method, void *args);
/* The method that the arguments of METHOD_PLAN_GET name; NULL: there is no such method. */
const struct method *method_of_plan(const struct plan_args *args);
/* The right that a call needs: a plan needs that of its change. */
enum method_access method_needs(const struct method *method, const void *args);

/* True if the argument stands in the path template. */
bool method_path_has(const struct method *method, const char *field_name);
/*
 * D-Bus input signature on the Manager: required fields by position, then a{sv} if the method
 * changes something or has optional fields with a meaning on D-Bus. The caller frees it.
 */
char *method_bus_signature(const struct method *method, bool on_object);
bool method_bus_has_options(const struct method *method);
/* The answer comes in pages: REST gives the cursor of the next one beside the list, D-Bus as a
 * second value, which is empty on the last page. */
bool method_has_pages(const struct method *method);
/* "o", "a{sv}", "h", "aa{sv}", or "aa{sv}s" with a cursor. */
const char *method_bus_result(const struct method *method);
/* A field's name as a D-Bus property: volume_id is VolumeId. */
#define BUS_PROPERTY_SIZE 64
void method_bus_property(const char *field_name, char out[BUS_PROPERTY_SIZE]);
/* The field of the arguments that names the scope's own object, NULL for the Manager. */
const struct field *method_object_field(const struct method *method);
