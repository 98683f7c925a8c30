/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * NBD exports: one server, one export for each volume.
 *
 * Behind this interface stand engines: qemu-storage-daemon, spoken to over QMP, and nbdkit, which
 * serves a folder of links. Every verb names the desired state: a repeated verb changes nothing. An
 * engine that dies is started again, or its socket awaited again, with growing pauses; then lost()
 * is called, because a new engine serves nothing yet, and the exporter's owner adds the desired
 * exports again.
 *
 * While the engine starts, verbs wait for it; while the engine is away, they answer ERR_UNAVAILABLE
 * with the reason. A verb that does not end within its deadline answers ERR_TIMEOUT, and the next
 * list shows its later effects.
 */

#include "base/err.h"
#include "base/json.h"
#include <sys/types.h>

#include "io/loop.h"
#include "spec/names.h"

struct exporter;
struct export_call;

struct exporter_options {
	enum export_engine engine;
	/* a folder of ours that outlives the daemon, for sockets and links */
	const char *run_dir;
	/* qemu: of an engine that another program runs (a systemd unit); NULL: ours, in run_dir */
	const char *qmp_socket;
	/*
	 * "127.0.0.1:10809", or "unix:/path"; port 0 takes a free one. Not a loopback address:
	 * needs clients' certificates
	 */
	const char *listen;
	gid_t group;            /* may connect to a unix socket; (gid_t)-1: none */
	const char *tls_dir;    /* ca-cert.pem, server-cert.pem, server-key.pem; NULL: no TLS */
	const char *proc_root;  /* "/proc": the connected clients */
	const char *sysfs_root; /* "/sys": size and identity of a device */
	int64_t timeout_ms;     /* for one verb */
	/*
	 * Another engine than before serves now, the first one included: add the desired exports
	 * (if an engine was found running, the exports that it serves already stay as they are).
	 * Never inside a call.
	 */
	void (*lost)(void *arg);
	void *arg;
};

struct export_item {
	const char *name;        /* "migration-vol-<volume uuid>" */
	const char *device_path; /* "/dev/mapper/vol01234567" */
	bool read_only;
};

struct export_client {
	char address[64]; /* "127.0.0.1:41234", or "a local process" on a unix socket */
};

struct export_seen {
	const char *name;
	const char *device_path;
	bool read_only;
	const struct export_client *clients;
	size_t client_count;
	/*
	 * False: the engine can't tell which export a client of the server uses, so the clients
	 * listed may use another export.
	 */
	bool clients_certain;
};

/*
 * err.field of an ERR_UNAVAILABLE that does not pass soon: another program listens on the address.
 * Exports are added when it is free again.
 */
#define EXPORT_ADDRESS_TAKEN "export.listen"

/* err->code is ERR_NONE if the desired state is reached. */
typedef void (*export_done_fn)(void *arg, const struct err *err);
/* items are valid during the callback. */
typedef void (*export_listed_fn)(void *arg, const struct export_seen *items, size_t count,
				 const struct err *err);

/* The options alone. */
int exporter_check(const struct exporter_options *options, struct err *err);
/* The files of tls_dir; blocks for reading these. Logs if the server's certificate has expired, or
 * soon will. */
int exporter_check_certificate(const char *tls_dir, struct err *err);
/*
 * Starts or finds the engine on a later turn; a program that is not installed is no error here: the
 * health and every verb's answer report it. NULL and ERR_INVALID: EXPORT_ENGINE_NONE, or options
 * that make no sense (exporter_check()).
 */
struct exporter *exporter_new(struct loop *loop, const struct exporter_options *options,
			      struct err *err);
/*
 * Stops an engine of ours, which disconnects its clients, and waits some seconds for its end. An
 * engine that another program runs is left alone. No done() runs any more. Not from inside a
 * callback. Returns NULL, takes NULL.
 */
struct exporter *exporter_free(struct exporter *exporter);

/*
 * Served under this name, from this device at its present size. Another device, mode or size under
 * the name is replaced, unless clients use it: then ERR_CONFLICT names them and nothing is changed.
 * The device must answer reads: for a device that does not, such as a suspended map, the answer is
 * ERR_TIMEOUT before the engine sees the device.
 */
struct export_call *export_add(struct exporter *exporter, const struct export_item *item,
			       export_done_fn done, void *arg);
/*
 * Not served any more. ERR_CONFLICT naming the clients while there are any, and then nothing is
 * changed; with force they are disconnected.
 */
struct export_call *export_remove(struct exporter *exporter, const char *name, bool force,
				  export_done_fn done, void *arg);
struct export_call *export_list(struct exporter *exporter, export_listed_fn done, void *arg);
/*
 * An NBD handshake as a client makes it, up to and including the choice of the export: ERR_NONE if
 * the server offers it with this size (0: any). ERR_NOT_FOUND: no export of this name;
 * ERR_CONFLICT: it has another size.
 */
struct export_call *export_check(struct exporter *exporter, const char *name, uint64_t size,
				 export_done_fn done, void *arg);
void export_cancel(struct export_call *call); /* done will not run. Not from inside done */

/* Only clients with a certificate are let in. */
bool exporter_verifies_clients(const struct exporter *exporter);
int export_port(const struct exporter *exporter); /* 0: a unix socket, or not known yet */
/*
 * Where an NBD client on this machine finds the export, as the NBD URI specification has it:
 * "nbd://127.0.0.1:10809/NAME", "nbd+unix:///NAME?socket=PATH"; nbds with TLS. NULL while the port
 * is not known. The caller frees it.
 */
char *export_uri(const struct exporter *exporter, const char *name);

struct export_health {
	bool ok;
	char reason[ERR_TEXT_SIZE]; /* the fault and its remedy, "" if ok */
	char engine[32];
	int pid; /* of the engine, ours or not; 0 if it is not known to run */
	uint64_t restarts;
};
void exporter_health(const struct exporter *exporter, struct export_health *out);
/*
 * Looks whether the engine answers, unless it works on a call or has just been looked at. The
 * health has the finding PULSE_ANSWER_MS later, or sooner.
 */
void exporter_look(struct exporter *exporter);
