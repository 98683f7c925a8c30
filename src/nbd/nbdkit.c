/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * nbdkit as the simple engine: its file plugin serves a folder, and the folder is ours. A symbolic
 * link is an export: its name is the export's name, and its target is the device. Adding and
 * removing are one system call each, seen by the next client that connects.
 *
 * The simple engine can neither serve a single export read-only nor disconnect a single client.
 * nbdkit opens the device once for each client, so whether an export is in use is read from its
 * open files; if a client must go by force, nbdkit is started anew and the other clients connect
 * again. A client that has just left (our handshake is such a client) shows in these files for a
 * moment longer, hence a device counts as used only if it stays open.
 *
 * nbdkit ends with the daemon. A new one begins with an empty folder: the target of a link of
 * yesterday may be another disk today.
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/process.h"
#include "nbd/backing.h"
#include "nbd/nbdkit.h"
#include "nbd/tls.h"

#define LOOK_EVERY_MS 20
#define START_MS 10000 /* until it listens */
#define LINGER_MS 500  /* a device open for longer has a client */

struct nbdkit {
	struct engine *engine;
	char *folder;
	struct process *process;
	bool is_up;
	bool parting; /* nbdkit is started anew to disconnect a client, for the call under way */
	struct handshake *handshake;
	struct loop_timer again; /* the next handshake, or the deadline of this one */
	int64_t until_ms;
	struct export_call *call; /* NULL: none, or no caller waits for it any more */
	struct clients_scan *scan;
	struct probe *probe;
	struct loop_timer linger;
	int64_t linger_until_ms;
};

/* The open files of nbdkit: block devices and regular files. */
struct open_files {
	struct stat *files;
	size_t count;
	bool unknown; /* the list could not be read, so any file may be open */
};

/* ---- the folder ---- */

static char *link_path(const struct nbdkit *nbdkit, const char *name)
{
	return xasprintf("%s/%s", nbdkit->folder, name);
}

/* The device under an export's name; NULL if there is no such export. The caller frees it. */
static char *link_target(const struct nbdkit *nbdkit, const char *name)
{
	_cleanup_free_ char *path = link_path(nbdkit, name);
	char target[4096];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	return length < 0 ? NULL : xstrndup(target, (size_t)length);
}

/* Never half done: the old link stays until the new one is there. */
static int set_link(const struct nbdkit *nbdkit, const char *name, const char *target,
		    struct err *err)
{
	_cleanup_free_ char *path = link_path(nbdkit, name),
			    *fresh = xasprintf("%s.new", nbdkit->folder);

	unlink(fresh);
	if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be linked: %s", path,
			       strerror(errno));
	return 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode))
		return S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return S_ISREG(b->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void clear_open_files(struct open_files *open)
{
	free(open->files);
}
#define _cleanup_open_files_ __attribute__((cleanup(clear_open_files)))

static struct open_files read_open_files(const struct nbdkit *nbdkit)
{
	_cleanup_free_ char *path = xasprintf("%s/%d/fd", nbdkit->engine->options->proc_root,
					      (int)process_pid(nbdkit->process));
	struct open_files open = { 0 };
	struct dirent *entry;
	struct stat file;
	DIR *folder = opendir(path);

	if (!folder) {
		open.unknown = errno != ENOENT; /* without the process no file is open */
		return open;
	}
	while ((entry = readdir(folder))) {
		if (fstatat(dirfd(folder), entry->d_name, &file, 0) < 0 ||
		    (!S_ISBLK(file.st_mode) && !S_ISREG(file.st_mode)))
			continue;
		open.files = xrealloc(open.files, (open.count + 1) * sizeof(*open.files));
		open.files[open.count++] = file;
	}
	closedir(folder);
	return open;
}

/* True if a client has the device open. */
static bool is_open(const struct open_files *open, const char *device_path)
{
	bool found = open->unknown;
	struct stat device;

	if (stat(device_path, &device) < 0)
		return found;
	for (size_t i = 0; i < open->count && !found; i++)
		found = is_same_file(&device, &open->files[i]);
	return found;
}

static bool is_open_now(const struct nbdkit *nbdkit, const char *device_path)
{
	_cleanup_open_files_ struct open_files open = read_open_files(nbdkit);

	return is_open(&open, device_path);
}

typedef void (*link_fn)(struct nbdkit *nbdkit, const char *name, const char *device_path,
			void *arg);

static void each_link(struct nbdkit *nbdkit, link_fn fn, void *arg)
{
	DIR *folder = opendir(nbdkit->folder);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		_cleanup_free_ char *target = link_target(nbdkit, entry->d_name);

		if (target)
			fn(nbdkit, entry->d_name, target, arg);
	}
	if (folder)
		closedir(folder);
}

static void drop_link(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg)
{
	_cleanup_free_ char *path = link_path(nbdkit, name);

	unlink(path);
}

/* ---- the process ---- */

static void look_whether_it_listens(struct nbdkit *nbdkit);

static void end(struct nbdkit *nbdkit, const struct err *err)
{
	if (!nbdkit->call)
		return;
	nbdkit->call = NULL;
	engine_end(nbdkit->engine, err);
}

static void stop_looking(struct nbdkit *nbdkit)
{
	loop_timer_clear(nbdkit->engine->loop, &nbdkit->again);
	if (nbdkit->handshake)
		handshake_cancel(nbdkit->handshake);
	nbdkit->handshake = NULL;
}

static void on_ended(void *arg, const char *how);

#define ARGUMENTS_MAX 16

/* Its arguments, behind the program; texts are the caller's. */
static void put_arguments(const struct engine *engine, const char *port, const char *certificates,
			  const char *dir, const char **argv)
{
	const struct address *address = &engine->address;
	size_t count = 0;

	argv[count++] = "--foreground";
	argv[count++] = "--exit-with-parent";
	if (address_is_unix(address)) {
		argv[count++] = "--unix";
		argv[count++] = address->sa.local.sun_path;
	} else {
		argv[count++] = "--ipaddr";
		argv[count++] = address->host;
		argv[count++] = "--port";
		argv[count++] = port;
	}
	if (engine->options->tls_dir) {
		argv[count++] = "--tls=require";
		argv[count++] = certificates;
		if (tls_verifies_clients(engine->options->tls_dir))
			argv[count++] = "--tls-verify-peer";
	}
	argv[count++] = "file";
	argv[count++] = dir;
	argv[count] = NULL;
}

static int start(struct nbdkit *nbdkit, struct err *err)
{
	struct engine *engine = nbdkit->engine;
	_cleanup_free_ char *program = process_find(nbdkit_engine.program);
	_cleanup_free_ char *dir = xasprintf("dir=%s", nbdkit->folder), *port = NULL;
	_cleanup_free_ char *certificates =
		xasprintf("--tls-certificates=%s", str_or(engine->options->tls_dir, ""));
	const char *argv[ARGUMENTS_MAX] = { program };

	if (!program)
		return err_set(err, ERR_UNAVAILABLE,
			       "nbdkit is not installed; install Debian's package %s",
			       nbdkit_engine.package);
	if (address_is_unix(&engine->address))
		/* left by a dead process; it would be in the way */
		unlink(engine->address.sa.local.sun_path);
	if (engine_choose_port(engine, err) < 0)
		return -1;
	port = xasprintf("%d", engine->address.port);
	put_arguments(engine, port, certificates, dir, argv + 1);
	nbdkit->process = process_start(engine->loop, argv, on_ended, nbdkit, err);
	return nbdkit->process ? 0 : -1;
}

static void begin_start(struct nbdkit *nbdkit)
{
	struct err err;

	nbdkit->until_ms = clock_waking_ms() + START_MS;
	if (start(nbdkit, &err) < 0)
		engine_down(nbdkit->engine, "%s", err.text);
	else
		look_whether_it_listens(nbdkit);
}

static void on_ended(void *arg, const char *how)
{
	struct nbdkit *nbdkit = arg;
	bool parting = nbdkit->parting, was_up = nbdkit->is_up;
	bool known_down =
		!nbdkit->is_up && !nbdkit->handshake && !loop_timer_is_set(&nbdkit->again);

	nbdkit->process = process_forget(nbdkit->process);
	nbdkit->is_up = nbdkit->parting = false;
	stop_looking(nbdkit);
	if (parting || (!known_down && !was_up && engine_chose_again(nbdkit->engine)))
		begin_start(nbdkit);
	else if (!known_down && was_up)
		engine_down(nbdkit->engine, "nbdkit %s", how);
	else if (!known_down)
		engine_refused(nbdkit->engine, how);
}

static void on_looked(void *arg, uint64_t size, const struct err *err)
{
	struct nbdkit *nbdkit = arg;

	nbdkit->handshake = NULL;
	loop_timer_clear(nbdkit->engine->loop, &nbdkit->again);
	/* nbdkit has no export of that name, and says so. */
	if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) {
		nbdkit->is_up = true;
		engine_up(nbdkit->engine, true);
		end(nbdkit, NULL);
	} else if (clock_waking_ms() < nbdkit->until_ms) {
		loop_timer_set(nbdkit->engine->loop, &nbdkit->again, LOOK_EVERY_MS);
	} else {
		process_end(nbdkit->process);
		engine_down(nbdkit->engine, "nbdkit does not listen: %s", err->text);
	}
}

static void look_whether_it_listens(struct nbdkit *nbdkit)
{
	const struct engine *engine = nbdkit->engine;
	int64_t left_ms = nbdkit->until_ms - clock_waking_ms();

	nbdkit->handshake = handshake_start(engine->loop, &engine->address, engine->tls, "-",
					    on_looked, nbdkit);
	loop_deadline_set(engine->loop, &nbdkit->again, left_ms > 0 ? left_ms : 0);
}

static void on_again(struct loop_timer *timer)
{
	struct nbdkit *nbdkit = container_of(timer, struct nbdkit, again);

	if (!nbdkit->handshake) {
		look_whether_it_listens(nbdkit);
		return;
	}
	stop_looking(nbdkit);
	process_end(nbdkit->process);
	engine_down(nbdkit->engine, "nbdkit listens and does not answer");
}

static void attempt(void *self)
{
	struct nbdkit *nbdkit = self;

	/* A process that was told to end is still there. */
	if (nbdkit->process) {
		engine_down(nbdkit->engine, "nbdkit does not end");
		return;
	}
	each_link(nbdkit, drop_link, NULL);
	begin_start(nbdkit);
}

/* ---- the verbs ---- */

/* Open files and clients at one moment, and the number of exports in use. */
struct listing {
	struct open_files open;
	const struct export_client *clients;
	size_t client_count, used;
	bool certain;
};

static void count_used(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg)
{
	struct listing *listing = arg;

	listing->used += is_open(&listing->open, device_path);
}

static void list_link(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg)
{
	const struct listing *listing = arg;
	bool is_used = is_open(&listing->open, device_path);

	engine_add_item(nbdkit->engine, name, device_path, false, listing->clients,
			is_used ? listing->client_count : 0, !is_used || listing->certain);
}

static void on_clients(void *arg, const struct export_client *clients, size_t count,
		       const struct err *looked)
{
	struct nbdkit *nbdkit = arg;
	const struct export_call *call = nbdkit->call;
	struct listing listing = { .open = read_open_files(nbdkit),
				   .clients = clients,
				   .client_count = count };
	struct err err;

	nbdkit->scan = NULL;
	each_link(nbdkit, count_used, &listing);
	/* nbdkit opens the device of an export that a connection has chosen. */
	listing.certain = looked->code == ERR_NONE && listing.used <= 1 && count <= 1 &&
			  !listing.open.unknown;
	if (call->verb == EXPORT_LIST) {
		each_link(nbdkit, list_link, &listing);
		end(nbdkit, NULL);
	} else {
		engine_in_use(&err, call->name, clients, count, listing.certain);
		end(nbdkit, &err);
	}
	clear_open_files(&listing.open);
}

static void look_at_clients(struct nbdkit *nbdkit)
{
	nbdkit->scan = clients_scan_start(nbdkit->engine->clients, &nbdkit->engine->address,
					  on_clients, nbdkit);
}

static int remove_link(struct nbdkit *nbdkit, struct err *err)
{
	_cleanup_free_ char *path = link_path(nbdkit, nbdkit->call->name);

	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be removed: %s", path,
			       strerror(errno));
	return 0;
}

static void part_from_clients(struct nbdkit *nbdkit)
{
	struct err err;

	if (remove_link(nbdkit, &err) < 0) {
		end(nbdkit, &err);
		return;
	}
	log_notice("export: nbdkit is started anew, since %s is taken from a client by force",
		   nbdkit->call->name);
	nbdkit->parting = true;
	process_end(nbdkit->process);
}

static void change_link(struct nbdkit *nbdkit)
{
	const struct export_call *call = nbdkit->call;
	struct err err = { 0 };

	if (call->verb == EXPORT_ADD)
		(void)set_link(nbdkit, call->name, call->device_path, &err);
	else
		(void)remove_link(nbdkit, &err);
	end(nbdkit, &err);
}

/* Changes the link, once no client uses its target. */
static void change(struct nbdkit *nbdkit)
{
	_cleanup_free_ char *target = link_target(nbdkit, nbdkit->call->name);

	if (!target || !is_open_now(nbdkit, target))
		change_link(nbdkit);
	else if (clock_waking_ms() < nbdkit->linger_until_ms)
		loop_timer_set(nbdkit->engine->loop, &nbdkit->linger, LOOK_EVERY_MS);
	else if (nbdkit->call->verb == EXPORT_REMOVE && nbdkit->call->force)
		part_from_clients(nbdkit);
	else
		look_at_clients(nbdkit);
}

static void on_linger(struct loop_timer *timer)
{
	change(container_of(timer, struct nbdkit, linger));
}

static void on_probed(void *arg, const struct probe_result *result)
{
	struct nbdkit *nbdkit = arg;

	nbdkit->probe = NULL;
	if (result->err.code != ERR_NONE)
		end(nbdkit, &result->err);
	else
		change(nbdkit);
}

static int check_item(const struct nbdkit *nbdkit, struct err *err)
{
	const struct export_call *call = nbdkit->call;
	struct backing device;

	if (backing_query(nbdkit->engine->options->sysfs_root, call->device_path, &device, err) < 0)
		return -1;
	if (call->read_only)
		return err_set_field(
			err, "read_only", ERR_INVALID,
			"nbdkit serves either all exports read-only or none; use qemu-storage-daemon");
	if (device.read_only)
		return err_set(
			err, ERR_CONFLICT,
			"%s is read-only, which nbdkit cannot serve; use qemu-storage-daemon",
			call->device_path);
	return 0;
}

static void add(struct nbdkit *nbdkit)
{
	const struct export_call *call = nbdkit->call;
	_cleanup_free_ char *target = link_target(nbdkit, call->name);
	struct err err;

	if (check_item(nbdkit, &err) < 0)
		end(nbdkit, &err);
	else if (target && streq(target, call->device_path))
		end(nbdkit, NULL);
	else
		nbdkit->probe =
			probe_start(nbdkit->engine->prober, call->device_path, on_probed, nbdkit);
}

static void begin(void *self, struct export_call *call)
{
	struct nbdkit *nbdkit = self;

	assert(!nbdkit->call && nbdkit->process);
	nbdkit->call = call;
	nbdkit->linger_until_ms = clock_waking_ms() + LINGER_MS;
	switch (call->verb) {
	case EXPORT_ADD:
		add(nbdkit);
		break;
	case EXPORT_REMOVE:
		change(nbdkit);
		break;
	case EXPORT_LIST:
		look_at_clients(nbdkit);
		break;
	case EXPORT_CHECK:
		break; /* needs no engine */
	}
}

static bool is_idle(const void *self)
{
	const struct nbdkit *nbdkit = self;

	return nbdkit->is_up && !nbdkit->parting;
}

static void abandon(void *self)
{
	struct nbdkit *nbdkit = self;

	nbdkit->call = NULL;
	loop_timer_clear(nbdkit->engine->loop, &nbdkit->linger);
	if (nbdkit->scan)
		clients_scan_cancel(nbdkit->scan);
	if (nbdkit->probe)
		probe_cancel(nbdkit->probe);
	nbdkit->scan = NULL;
	nbdkit->probe = NULL;
}

/* ---- the engine ---- */

static void *open_engine(struct engine *engine, struct err *err)
{
	struct nbdkit *nbdkit;
	_cleanup_free_ char *folder = xasprintf("%s/exports", engine->options->run_dir);

	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		err_set(err, ERR_INVALID, "%s cannot be made: %s", folder, strerror(errno));
		return NULL;
	}
	nbdkit = xnew(struct nbdkit);
	nbdkit->engine = engine;
	nbdkit->folder = TAKE_PTR(folder);
	nbdkit->again.fire = on_again;
	nbdkit->linger.fire = on_linger;
	return nbdkit;
}

static void close_engine(void *self)
{
	struct nbdkit *nbdkit = self;

	stop_looking(nbdkit);
	process_free(nbdkit->process);
	free(nbdkit->folder);
	free(nbdkit);
}

static int get_pid(const void *self)
{
	const struct nbdkit *nbdkit = self;

	return nbdkit->process ? (int)process_pid(nbdkit->process) : 0;
}

static const char *get_trouble(const void *self)
{
	return NULL;
}

const struct engine_ops nbdkit_engine = {
	.program = "nbdkit",
	.package = "nbdkit",
	.open = open_engine,
	.close = close_engine,
	.attempt = attempt,
	.is_idle = is_idle,
	.begin = begin,
	.abandon = abandon,
	.pid = get_pid,
	.trouble = get_trouble,
};
