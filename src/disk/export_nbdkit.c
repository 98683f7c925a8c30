/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * nbdkit as the simple engine: its file plugin serves a folder, and the folder is ours. A symbolic link is an export, its
 * name the export's and its target the device; adding and removing are one system call each, seen by the next client that
 * connects.
 *
 * What the simple engine can't do: serve one export read-only, or part with a single client. nbdkit opens the device once
 * for each client, so whether an export is in use is read from its open files; where a client must go by force, nbdkit is
 * started anew and the other clients connect again. It ends with the daemon.
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "disk/export_device.h"
#include "disk/export_internal.h"
#include "disk/export_process.h"

#define LOOK_EVERY_MS 20
#define START_MS 10000 /* until it listens */

struct nbdkit {
	struct exporter *exporter;
	char *folder;
	struct export_process *process;
	bool is_up;
	bool parting; /* it is started anew to get rid of a client, for the call under way */
	struct nbd_check *check;
	struct loop_timer again;
	int64_t until_ms;
	struct export_call *call; /* NULL: none, or nobody waits for it any more */
	struct export_look *look;
};

/* ---- the folder ---- */

static char *link_path(const struct nbdkit *nbdkit, const char *name)
{
	return xasprintf("%s/%s", nbdkit->folder, name);
}

/* The device under an export's name; NULL when there is no such export. The caller's. */
static char *link_target(const struct nbdkit *nbdkit, const char *name)
{
	_cleanup_free_ char *path = link_path(nbdkit, name);
	char target[4096];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	return length < 0 ? NULL : xstrndup(target, (size_t)length);
}

/* Never half done: there is the old link until there is the new one. */
static int set_link(const struct nbdkit *nbdkit, const char *name, const char *target, struct err *err)
{
	_cleanup_free_ char *path = link_path(nbdkit, name), *fresh = xasprintf("%s.new", nbdkit->folder);

	unlink(fresh);
	if (symlink(target, fresh) < 0 || rename(fresh, path) < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be linked: %s", path, strerror(errno));
	return 0;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode))
		return S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return S_ISREG(b->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* A client has it open. */
static bool is_open(const struct nbdkit *nbdkit, const char *device_path)
{
	_cleanup_free_ char *path =
		xasprintf("%s/%d/fd", nbdkit->exporter->options.proc_root, (int)export_process_pid(nbdkit->process));
	struct stat device, file;
	struct dirent *entry;
	bool found = false;
	DIR *folder;

	if (stat(device_path, &device) < 0 || !(folder = opendir(path)))
		return false;
	while (!found && (entry = readdir(folder)))
		found = fstatat(dirfd(folder), entry->d_name, &file, 0) == 0 && is_same_file(&device, &file);
	closedir(folder);
	return found;
}

typedef void (*link_fn)(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg);

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

static void count_open(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg)
{
	size_t *count = arg;

	*count += is_open(nbdkit, device_path);
}

/* ---- the process ---- */

static void look_whether_it_listens(struct nbdkit *nbdkit);

static void end(struct nbdkit *nbdkit, const struct err *err)
{
	if (!nbdkit->call)
		return;
	nbdkit->call = NULL;
	exporter_end(nbdkit->exporter, err);
}

static void stop_looking(struct nbdkit *nbdkit)
{
	loop_timer_clear(nbdkit->exporter->loop, &nbdkit->again);
	if (nbdkit->check)
		nbd_check_cancel(nbdkit->check);
	nbdkit->check = NULL;
}

static void on_ended(void *arg, const char *how);

static int start(struct nbdkit *nbdkit, struct err *err)
{
	struct exporter *exporter = nbdkit->exporter;
	struct export_address *address = &exporter->address;
	const char *tls_dir = exporter->options.tls_dir;
	_cleanup_free_ char *program = export_process_find(export_nbdkit_ops.program);
	_cleanup_free_ char *dir = xasprintf("dir=%s", nbdkit->folder), *certificates = NULL, *port = NULL;
	const char *argv[20] = { program, "--foreground", "--exit-with-parent" };
	size_t count = 3;
	int free_port;

	if (!program)
		return err_set(err, ERR_UNAVAILABLE, "nbdkit is not installed; install Debian's package %s",
			       export_nbdkit_ops.package);
	if (export_address_is_unix(address)) {
		unlink(address->sa.local.sun_path); /* a dead one's; it would be in the way */
		argv[count++] = "--unix";
		argv[count++] = address->sa.local.sun_path;
	} else {
		if (address->port == 0) {
			if (export_address_free_port(address, &free_port, err) < 0)
				return -1;
			export_address_set_port(address, free_port);
		}
		port = xasprintf("%d", address->port);
		argv[count++] = "--ipaddr";
		argv[count++] = address->host;
		argv[count++] = "--port";
		argv[count++] = port;
	}
	if (tls_dir) {
		certificates = xasprintf("--tls-certificates=%s", tls_dir);
		argv[count++] = "--tls=require";
		argv[count++] = certificates;
		if (export_tls_verifies_clients(tls_dir))
			argv[count++] = "--tls-verify-peer";
	}
	argv[count++] = "file";
	argv[count++] = dir;
	argv[count] = NULL;
	assert(count < ARRAY_SIZE(argv));
	nbdkit->process = export_process_start(exporter->loop, argv, on_ended, nbdkit, err);
	return nbdkit->process ? 0 : -1;
}

static void begin_start(struct nbdkit *nbdkit)
{
	struct err err;

	nbdkit->until_ms = clock_mono_ms() + START_MS;
	if (start(nbdkit, &err) < 0)
		exporter_down(nbdkit->exporter, "%s", err.text);
	else
		look_whether_it_listens(nbdkit);
}

static void on_ended(void *arg, const char *how)
{
	struct nbdkit *nbdkit = arg;
	bool parting = nbdkit->parting;
	bool known_down = !nbdkit->is_up && !nbdkit->check && !loop_timer_is_set(&nbdkit->again);

	nbdkit->process = export_process_forget(nbdkit->process);
	nbdkit->is_up = nbdkit->parting = false;
	stop_looking(nbdkit);
	if (parting)
		begin_start(nbdkit);
	else if (!known_down)
		exporter_down(nbdkit->exporter, "nbdkit %s", how);
}

static void on_looked(void *arg, uint64_t size, const struct err *err)
{
	struct nbdkit *nbdkit = arg;

	nbdkit->check = NULL;
	/* It has no export of that name, and says so. */
	if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) {
		nbdkit->is_up = true;
		exporter_up(nbdkit->exporter, true);
		end(nbdkit, NULL);
	} else if (clock_mono_ms() < nbdkit->until_ms) {
		loop_timer_set(nbdkit->exporter->loop, &nbdkit->again, LOOK_EVERY_MS);
	} else {
		export_process_end(nbdkit->process);
		exporter_down(nbdkit->exporter, "nbdkit does not listen: %s", err->text);
	}
}

static void look_whether_it_listens(struct nbdkit *nbdkit)
{
	const struct exporter *exporter = nbdkit->exporter;

	nbdkit->check = nbd_check_start(exporter->loop, &exporter->address, exporter->tls, "-", on_looked, nbdkit);
}

static void on_again(struct loop_timer *timer)
{
	look_whether_it_listens(container_of(timer, struct nbdkit, again));
}

static void attempt(void *engine)
{
	struct nbdkit *nbdkit = engine;

	/* One that was told to end is still there. */
	if (nbdkit->process)
		exporter_down(nbdkit->exporter, "nbdkit does not end");
	else
		begin_start(nbdkit);
}

/* ---- the verbs ---- */

static void add(struct nbdkit *nbdkit)
{
	const struct export_call *call = nbdkit->call;
	_cleanup_free_ char *target = link_target(nbdkit, call->name);
	struct export_device device;
	struct err err = { 0 };

	if (export_device_look(nbdkit->exporter->options.sysfs_root, call->device_path, &device, &err) < 0) {
		end(nbdkit, &err);
	} else if (call->read_only) {
		err_set_field(&err, "read_only", ERR_INVALID,
			      "nbdkit serves either all exports read-only or none; use qemu-storage-daemon");
		end(nbdkit, &err);
	} else if (target && !streq(target, call->device_path) && is_open(nbdkit, target)) {
		export_in_use(&err, call->name, NULL, 0, false);
		end(nbdkit, &err);
	} else {
		(void)set_link(nbdkit, call->name, call->device_path, &err);
		end(nbdkit, &err);
	}
}

static int remove_link(struct nbdkit *nbdkit, struct err *err)
{
	_cleanup_free_ char *path = link_path(nbdkit, nbdkit->call->name);

	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be removed: %s", path, strerror(errno));
	return 0;
}

static void remove_now(struct nbdkit *nbdkit, bool is_used)
{
	struct err err = { 0 };

	if (remove_link(nbdkit, &err) < 0 || !is_used) {
		end(nbdkit, &err);
		return;
	}
	log_notice("export: nbdkit is started anew, since %s is taken from a client by force", nbdkit->call->name);
	nbdkit->parting = true;
	export_process_end(nbdkit->process);
}

static void list_link(struct nbdkit *nbdkit, const char *name, const char *device_path, void *arg)
{
	const struct export_seen *seen = arg;
	bool is_used = is_open(nbdkit, device_path);

	exporter_add_item(nbdkit->exporter, name, device_path, false, seen->clients, is_used ? seen->client_count : 0,
			  !is_used || seen->clients_certain);
}

static void on_clients(void *arg, const struct export_client *clients, size_t count, const struct err *looked)
{
	struct nbdkit *nbdkit = arg;
	const struct export_call *call = nbdkit->call;
	struct export_seen seen = { .clients = clients, .client_count = count };
	size_t used = 0;
	struct err err;

	nbdkit->look = NULL;
	each_link(nbdkit, count_open, &used);
	seen.clients_certain = looked->code == ERR_NONE && used <= 1;
	if (call->verb == EXPORT_LIST) {
		each_link(nbdkit, list_link, &seen);
		end(nbdkit, NULL);
	} else {
		export_in_use(&err, call->name, clients, count, seen.clients_certain);
		end(nbdkit, &err);
	}
}

static void begin(void *engine, struct export_call *call)
{
	struct nbdkit *nbdkit = engine;
	_cleanup_free_ char *target = NULL;
	bool is_used;

	assert(!nbdkit->call && nbdkit->process);
	nbdkit->call = call;
	switch (call->verb) {
	case EXPORT_ADD:
		add(nbdkit);
		return;
	case EXPORT_REMOVE:
		target = link_target(nbdkit, call->name);
		is_used = target && is_open(nbdkit, target);
		if (!is_used || call->force) {
			remove_now(nbdkit, is_used);
			return;
		}
		break;
	case EXPORT_LIST:
	case EXPORT_CHECK: /* needs no engine */
		break;
	}
	nbdkit->look = export_look_start(nbdkit->exporter->watch, &nbdkit->exporter->address, on_clients, nbdkit);
}

static bool is_idle(const void *engine)
{
	const struct nbdkit *nbdkit = engine;

	return nbdkit->is_up && !nbdkit->parting;
}

static void abandon(void *engine)
{
	struct nbdkit *nbdkit = engine;

	nbdkit->call = NULL;
	if (nbdkit->look)
		export_look_cancel(nbdkit->look);
	nbdkit->look = NULL;
}

/* ---- the engine ---- */

static void *open_engine(struct exporter *exporter, struct err *err)
{
	struct nbdkit *nbdkit;
	_cleanup_free_ char *folder = xasprintf("%s/exports", exporter->options.run_dir);

	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		err_set(err, ERR_INVALID, "%s cannot be made: %s", folder, strerror(errno));
		return NULL;
	}
	nbdkit = xnew(struct nbdkit);
	nbdkit->exporter = exporter;
	nbdkit->folder = TAKE_PTR(folder);
	nbdkit->again.fire = on_again;
	return nbdkit;
}

static void close_engine(void *engine)
{
	struct nbdkit *nbdkit = engine;

	stop_looking(nbdkit);
	export_process_free(nbdkit->process);
	free(nbdkit->folder);
	free(nbdkit);
}

static int get_pid(const void *engine)
{
	const struct nbdkit *nbdkit = engine;

	return nbdkit->process ? (int)export_process_pid(nbdkit->process) : 0;
}

static const char *get_trouble(const void *engine)
{
	return NULL;
}

const struct export_engine_ops export_nbdkit_ops = {
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
