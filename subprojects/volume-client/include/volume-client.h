/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libvolumeclient: calls volume-daemon over D-Bus and waits for the results.
 *
 * The library is a thin, blocking layer over sd-bus for programs that have no event loop of their
 * own. It knows the bus name, how to await a long change without polling, and how to read answers;
 * it has no list of methods, so it need not change when the daemon gets a new method. Programs with
 * an event loop use sd-bus directly, or volume_client_bus() for the connection.
 *
 *     struct volume_client_error error;
 *     struct volume_client *client;
 *     struct volume_client_value *operation;
 *     sd_bus_message *reply;
 *     const char *path;
 *     char *id;
 *
 *     if (volume_client_open(NULL, &client, &error) < 0 ||
 *         volume_client_subscribe(client, &error) < 0)
 *             errx(1, "%s", error.text);
 *     if (volume_client_call(client, NULL, NULL, "AttachVolume", &reply, &error, "ssa{sv}",
 *                            volume, vm, 0) < 0)
 *             errx(1, "%s", error.text);
 *     sd_bus_message_read(reply, "o", &path);
 *     id = volume_client_path_id(path);
 *     if (volume_client_wait(client, id, NULL, &operation, &error) < 0)
 *             errx(1, "%s", error.text);
 *     puts(volume_client_text(volume_client_get(operation, "status")));
 *
 * Conventions. Functions return 0, or -1 and fill *error (which may be NULL). A handle belongs to
 * one thread at a time. The caller owns each result that comes out through a pointer: values go to
 * volume_client_value_free(), messages to sd_bus_message_unref(), texts to free(); "const" results
 * belong to the object they were read from. On failure no result comes out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VOLUME_CLIENT_NAME "org.migratekit.VolumeDaemon1"
#define VOLUME_CLIENT_ROOT "/org/migratekit/VolumeDaemon1"
#define VOLUME_CLIENT_MANAGER "org.migratekit.VolumeDaemon1.Manager"
#define VOLUME_CLIENT_OPERATION "org.migratekit.VolumeDaemon1.Operation"

/*
 * An error: its D-Bus name, and a sentence for people. The daemon's own errors begin with
 * "org.migratekit.VolumeDaemon1.Error."; the others are D-Bus's.
 */
struct volume_client_error {
	char name[256];
	char text[8192]; /* a longer one is cut between characters and ends with " [cut]" */
};

/* Names of errors that the library itself finds. */
/* no bus to connect to */
#define VOLUME_CLIENT_ERROR_NO_BUS "org.freedesktop.DBus.Error.NoServer"
/* the daemon is not there */
#define VOLUME_CLIENT_ERROR_NO_DAEMON "org.freedesktop.DBus.Error.ServiceUnknown"
/* the bus has gone */
#define VOLUME_CLIENT_ERROR_DISCONNECTED "org.freedesktop.DBus.Error.Disconnected"
/* your deadline has passed (the bus has a name of its own, NoReply, for a daemon that has died) */
#define VOLUME_CLIENT_ERROR_TIMEOUT "org.freedesktop.DBus.Error.Timeout"
/* the input of volume_client_set_input() can be read */
#define VOLUME_CLIENT_ERROR_INTERRUPTED "org.freedesktop.DBus.Error.Interrupted"
/* anything else */
#define VOLUME_CLIENT_ERROR_FAILED "org.freedesktop.DBus.Error.Failed"

struct volume_client;

/* --- the connection --- */

/* Connects to the system bus, or to the bus at address. */
int volume_client_open(const char *address, struct volume_client **out,
		       struct volume_client_error *error);
/* Closes the connection. Returns NULL and takes NULL. */
struct volume_client *volume_client_close(struct volume_client *client);
/* The connection itself, borrowed. */
sd_bus *volume_client_bus(struct volume_client *client);
/* The time limit of a call, in milliseconds; 0 (the default) is sd-bus's own 25 seconds. */
void volume_client_set_call_timeout(struct volume_client *client, uint64_t milliseconds);
/*
 * From now on calls end early, with VOLUME_CLIENT_ERROR_INTERRUPTED, as soon as the file fd can be
 * read, so that a program answers its user also while the daemon does not answer. The daemon may
 * do what the call asked for. Signals that come during a call are dropped, so such a client is for
 * calls alone. -1: calls are not ended early (the default).
 */
void volume_client_set_input(struct volume_client *client, int fd);

/* --- calls --- */

/*
 * Calls a method and waits for its answer. path NULL is the daemon's root object, interface NULL
 * its Manager. types and the arguments are as for sd_bus_message_append(); types NULL means no
 * arguments. reply may be NULL.
 */
int volume_client_call(struct volume_client *client, const char *path, const char *interface,
		       const char *member, sd_bus_message **reply,
		       struct volume_client_error *error, const char *types, ...);
/*
 * The same in two parts, for arguments that are only known at run time. send takes no reference of
 * message.
 */
int volume_client_call_new(struct volume_client *client, const char *path, const char *interface,
			   const char *member, sd_bus_message **message,
			   struct volume_client_error *error);
int volume_client_call_send(struct volume_client *client, sd_bus_message *message,
			    sd_bus_message **reply, struct volume_client_error *error);

/* The id at the end of an object path, decoded; NULL if there is none. */
char *volume_client_path_id(const char *path);

/* --- values --- */

enum volume_client_kind {
	VOLUME_CLIENT_BOOL,     /* boolean */
	VOLUME_CLIENT_INTEGER,  /* integer: any signed type */
	VOLUME_CLIENT_UNSIGNED, /* natural: any unsigned type */
	VOLUME_CLIENT_NUMBER,   /* number: a double */
	VOLUME_CLIENT_TEXT,     /* text: strings, object paths, signatures */
	VOLUME_CLIENT_LIST,     /* items: arrays and structs */
	VOLUME_CLIENT_DICT,     /* items, each with its key */
};

/*
 * A D-Bus value as a tree, with variants opened. Read it directly or with the helpers below. The
 * caller owns the tree and may change it; keys, texts and items are from malloc().
 */
struct volume_client_value {
	enum volume_client_kind kind;
	char *key; /* for an item of a dict, else NULL */
	union {
		bool boolean;
		int64_t integer;
		uint64_t natural;
		double number;
		char *text;
		struct {
			struct volume_client_value *items;
			size_t count;
		};
	};
};

/* The next complete value of a message. */
int volume_client_read(sd_bus_message *message, struct volume_client_value **out,
		       struct volume_client_error *error);
/* All properties of an object as a dict; the keys are the property names ("VolumeId"). */
int volume_client_properties(struct volume_client *client, const char *path, const char *interface,
			     struct volume_client_value **value, struct volume_client_error *error);
/* Takes an item out of a dict and frees it; a missing item is no error. */
void volume_client_remove(struct volume_client_value *dict, const char *key);
/* Frees the whole tree; not for a part of a tree. Returns NULL and takes NULL. */
struct volume_client_value *volume_client_value_free(struct volume_client_value *value);

/*
 * The item of a dict with this key; NULL if the item is missing, or if dict is no dict or NULL, so
 * that look-ups chain.
 */
const struct volume_client_value *volume_client_get(const struct volume_client_value *dict,
						    const char *key);
/* The text of a value; "" if value is no text. */
const char *volume_client_text(const struct volume_client_value *value);

/* --- waiting --- */

/*
 * Asks the bus for the daemon's signals. Call this before a change whose steps matter; wait and
 * watch call it themselves if the caller has not. Signals then gather in memory until wait or watch
 * reads them.
 */
int volume_client_subscribe(struct volume_client *client, struct volume_client_error *error);

struct volume_client_wait {
	int64_t timeout_ms; /* limit of the whole wait; 0 is no limit */
	/*
	 * Gets the operation as it is now: at first, and after each change. NULL: the daemon has
	 * left the bus; the wait goes on until the daemon is back. Return 0, or a negative number
	 * to stop waiting.
	 */
	int (*changed)(void *arg, const struct volume_client_value *operation);
	void *arg;
	/*
	 * Called with arg about every tick_ms while nothing changes, to show how the time goes by;
	 * asks the daemon nothing. NULL: never.
	 */
	void (*tick)(void *arg);
	int64_t tick_ms;
};

/*
 * Waits until the operation has ended (its status is completed, failed or cancelled) and hands out
 * its properties as a dict, whose keys are the names of fields ("volume_id", "error_code"). If the
 * operation failed, the function still succeeds. The operation may have ended already, and the
 * daemon may be restarted meanwhile. options may be NULL.
 */
int volume_client_wait(struct volume_client *client, const char *operation_id,
		       const struct volume_client_wait *options,
		       struct volume_client_value **operation, struct volume_client_error *error);

/*
 * A signal of the daemon; arguments is the list of its arguments. member is "DaemonArrived" or
 * "DaemonLeft", without path and arguments, if the daemon takes or leaves its name. Return 0 to go
 * on, any other value to end the watch.
 */
typedef int (*volume_client_signal_fn)(void *arg, const char *member, const char *path,
				       const struct volume_client_value *arguments);

/* Hands signals to the function until the function ends the watch. -1 only if the bus is lost. */
int volume_client_watch(struct volume_client *client, volume_client_signal_fn on_signal, void *arg,
			struct volume_client_error *error);
/*
 * The same for at most timeout_ms, 0 without limit. If the function has not ended the watch by
 * then: -1 and VOLUME_CLIENT_ERROR_TIMEOUT.
 */
int volume_client_watch_for(struct volume_client *client, int64_t timeout_ms,
			    volume_client_signal_fn on_signal, void *arg,
			    struct volume_client_error *error);
/*
 * The same for a program that has an input of its own, such as a terminal: ends also as soon as the
 * file fd can be read, with 0.
 */
int volume_client_watch_beside(struct volume_client *client, int fd, int64_t timeout_ms,
			       volume_client_signal_fn on_signal, void *arg,
			       struct volume_client_error *error);

#ifdef __cplusplus
}
#endif
