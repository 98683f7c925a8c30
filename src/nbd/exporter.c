/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The interface to exports: the choice of the engine, the access to it, and the verbs, which become
 * calls for it (engine.c).
 */

#include "nbd/exporter.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "nbd/engine.h"
#include "nbd/nbdkit.h"
#include "nbd/qemu.h"
#include "nbd/tls.h"

#define NAME_MAX_LENGTH 200

struct exporter {
	struct engine engine;
	struct exporter_options options; /* texts are copies */
};

/* ---- the verbs ---- */

/* Such names need no quoting anywhere: not for a shell, not in a URI, not as a file. */
static int check_name(const char *name, struct err *err)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (str_empty(name) || strlen(name) > NAME_MAX_LENGTH || name[strspn(name, good)] ||
	    name[0] == '.' || name[0] == '-')
		return err_set_field(
			err, "name", ERR_INVALID,
			"an export's name must be 1 to %d letters, digits, hyphens, dots and underscores",
			NAME_MAX_LENGTH);
	return 0;
}

struct export_call *export_add(struct exporter *exporter, const struct export_item *item,
			       export_done_fn done, void *arg)
{
	struct export_call *call = engine_call_new(&exporter->engine, EXPORT_ADD, item->name, arg);
	struct err err;

	call->device_path = xstrdup(item->device_path);
	call->read_only = item->read_only;
	call->done = done;
	if (check_name(item->name, &err) < 0)
		engine_call_end(call, &err);
	return call;
}

struct export_call *export_remove(struct exporter *exporter, const char *name, bool force,
				  export_done_fn done, void *arg)
{
	struct export_call *call = engine_call_new(&exporter->engine, EXPORT_REMOVE, name, arg);
	struct err err;

	call->force = force;
	call->done = done;
	if (check_name(name, &err) < 0)
		engine_call_end(call, &err);
	return call;
}

struct export_call *export_list(struct exporter *exporter, export_listed_fn done, void *arg)
{
	struct export_call *call = engine_call_new(&exporter->engine, EXPORT_LIST, NULL, arg);

	call->listed = done;
	return call;
}

struct export_call *export_check(struct exporter *exporter, const char *name, uint64_t size,
				 export_done_fn done, void *arg)
{
	struct export_call *call = engine_call_new(&exporter->engine, EXPORT_CHECK, name, arg);
	struct err err;

	call->size = size;
	call->done = done;
	if (check_name(name, &err) < 0)
		engine_call_end(call, &err);
	return call;
}

void export_cancel(struct export_call *call)
{
	engine_call_cancel(call);
}

/* ---- health ---- */

bool exporter_verifies_clients(const struct exporter *exporter)
{
	return exporter->options.tls_dir && tls_verifies_clients(exporter->options.tls_dir);
}

int export_port(const struct exporter *exporter)
{
	return exporter->engine.address.port;
}

/* A path in the query of a URI. */
static void put_escaped(struct buf *out, const char *path)
{
	for (; *path; path++) {
		if (isalnum((unsigned char)*path) || strchr("/-._~", *path))
			buf_add(out, path, 1);
		else
			buf_printf(out, "%%%02X", (unsigned char)*path);
	}
}

/* A server that listens on all addresses is asked on loopback. */
static const char *client_host(const struct address *address)
{
	if (streq(address->host, "0.0.0.0"))
		return "127.0.0.1";
	return streq(address->host, "::") ? "::1" : address->host;
}

char *export_uri(const struct exporter *exporter, const char *name)
{
	const struct address *address = &exporter->engine.address;
	const char *host = client_host(address);
	struct buf out = BUF_NULL;

	buf_add_text(&out, exporter->options.tls_dir ? "nbds" : "nbd");
	if (address_is_unix(address)) {
		buf_printf(&out, "+unix:///%s?socket=", name);
		put_escaped(&out, address->sa.local.sun_path);
		return buf_take(&out);
	}
	if (!address->port) {
		buf_clear(&out);
		return NULL;
	}
	buf_printf(&out, strchr(host, ':') ? "://[%s]:%d/%s" : "://%s:%d/%s", host, address->port,
		   name);
	return buf_take(&out);
}

void exporter_health(const struct exporter *exporter, struct export_health *out)
{
	engine_health(&exporter->engine, out);
}

void exporter_look(struct exporter *exporter)
{
	engine_look(&exporter->engine);
}

/* ---- its life ---- */

static const struct engine_ops *find_ops(enum export_engine engine, struct err *err)
{
	switch (engine) {
	case EXPORT_ENGINE_QEMU:
		return &qemu_engine;
	case EXPORT_ENGINE_NBDKIT:
		return &nbdkit_engine;
	case EXPORT_ENGINE_NONE:
	case EXPORT_ENGINE_COUNT:
		break;
	}
	err_set(err, ERR_INVALID, "exports are turned off");
	return NULL;
}

static int make_run_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_INVALID,
			       "the folder for the NBD server's files can't be made: %s: %s", path,
			       strerror(errno));
	return 0;
}

static void copy_options(struct exporter *exporter, const struct exporter_options *options)
{
	exporter->options = *options;
	exporter->options.run_dir = xstrdup(options->run_dir);
	exporter->options.qmp_socket = xstrdup(options->qmp_socket);
	exporter->options.listen = xstrdup(options->listen);
	exporter->options.tls_dir = xstrdup(options->tls_dir);
	exporter->options.proc_root = xstrdup(options->proc_root);
	exporter->options.sysfs_root = xstrdup(options->sysfs_root);
}

static void free_options(struct exporter_options *options)
{
	free((char *)(uintptr_t)options->run_dir);
	free((char *)(uintptr_t)options->qmp_socket);
	free((char *)(uintptr_t)options->listen);
	free((char *)(uintptr_t)options->tls_dir);
	free((char *)(uintptr_t)options->proc_root);
	free((char *)(uintptr_t)options->sysfs_root);
}

/* A client that can connect can read and write every volume. */
static int check_access(const struct exporter_options *options, const struct address *address,
			struct err *err)
{
	if (address_is_local(address) ||
	    (options->tls_dir && tls_verifies_clients(options->tls_dir)))
		return 0;
	return err_set(
		err, ERR_INVALID,
		"%s can be reached from other machines, which needs TLS with certificates of clients: a folder "
		"that holds client-cert.pem, too; else listen on 127.0.0.1, [::1] or unix:",
		options->listen);
}

static int check_options(const struct exporter_options *options, const struct engine_ops **out,
			 struct address *address, struct err *err)
{
	*out = find_ops(options->engine, err);
	if (!*out || address_parse(options->listen, address, err) < 0 ||
	    check_access(options, address, err) < 0)
		return -1;
	if (str_empty(options->run_dir) || options->run_dir[0] != '/')
		return err_set(err, ERR_INVALID,
			       "the folder for the NBD server's files must be an absolute path");
	return (*out)->check ? (*out)->check(options, address, err) : 0;
}

int exporter_check(const struct exporter_options *options, struct err *err)
{
	const struct engine_ops *ops;
	struct address address;

	return check_options(options, &ops, &address, err);
}

int exporter_check_certificate(const char *tls_dir, struct err *err)
{
	return tls_check(tls_dir, err);
}

static int open_parts(struct exporter *exporter, struct err *err)
{
	const struct exporter_options *options = &exporter->options;
	struct engine *engine = &exporter->engine;
	const struct engine_ops *ops;

	if (check_options(options, &ops, &engine->address, err) < 0 ||
	    make_run_dir(options->run_dir, err) < 0)
		return -1;
	if (options->tls_dir) {
		engine->tls = tls_open(options->tls_dir, err);
		if (!engine->tls)
			return -1;
	}
	return engine_open(engine, ops, err);
}

struct exporter *exporter_new(struct loop *loop, const struct exporter_options *options,
			      struct err *err)
{
	struct exporter *exporter = xnew(struct exporter);

	assert(options->listen && options->proc_root && options->sysfs_root &&
	       options->timeout_ms > 0);
	copy_options(exporter, options);
	engine_init(&exporter->engine, loop, &exporter->options);
	if (open_parts(exporter, err) < 0 || engine_start(&exporter->engine, err) < 0)
		return exporter_free(exporter);
	return exporter;
}

struct exporter *exporter_free(struct exporter *exporter)
{
	if (!exporter)
		return NULL;
	engine_fini(&exporter->engine);
	tls_close(exporter->engine.tls);
	free_options(&exporter->options);
	free(exporter);
	return NULL;
}
