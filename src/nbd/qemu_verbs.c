/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is done with qemu-storage-daemon: for an export it has a block node, which holds the device open, and an NBD export
 * on top of it.
 *
 * Nothing about them is remembered between calls, for the engine knows best, and after a crash of either side it is the
 * only one who knows. A call looks (which exports, which nodes), then does the first thing that is not as it should be,
 * and so on until nothing is left; see decide(). Whatever was interrupted, by a deadline in the middle or by our death,
 * is thus carried on or swept up by the next call.
 *
 * The engine tells neither the name of an export nor what it was made for, but it gives back the export's id, which is
 * ours to choose: "vold.<name>.<identity of the device>". A device that was replaced by another one under its path is
 * noticed by that. Node names are limited to 31 bytes and only need to be different from each other.
 *
 * Block devices are opened past the page cache: what an export has acknowledged after a flush is on the disk, nobody
 * needs to write back anything when the disk goes, and the kernel's asynchronous I/O then keeps one hanging device from
 * taking the threads the others need.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "nbd/qemu.h"

#define ID_PREFIX "vold."
#define NODE_PREFIX "vold-"
#define AGAIN_MS 20 /* between looks at what only takes time */

static void decide(struct qemu *qemu);
static void look(struct qemu *qemu);

/* ---- what the engine has ---- */

static void forget(struct qemu_work *work)
{
	for (size_t i = 0; i < work->export_count; i++) {
		free(work->exports[i].id);
		free(work->exports[i].name);
		free(work->exports[i].identity);
	}
	for (size_t i = 0; i < work->node_count; i++)
		free(work->nodes[i].path);
	free(work->exports);
	free(work->nodes);
	work->exports = NULL;
	work->nodes = NULL;
	work->export_count = work->node_count = 0;
}

/* Takes "vold.<name>.<identity>" apart; the identity has no dot. */
static void parse_id(struct qemu_export *export)
{
	const char *name = export->id + strlen(ID_PREFIX), *dot;

	if (!str_has_prefix(export->id, ID_PREFIX) || !(dot = strrchr(name, '.')))
		return;
	export->name = xstrndup(name, (size_t)(dot - name));
	export->identity = xstrdup(dot + 1);
}

static void copy_node_name(char out[QEMU_NODE_SIZE], const struct json *name)
{
	snprintf(out, QEMU_NODE_SIZE, "%s", str_or(json_text(name), ""));
}

static void take_exports(struct qemu_work *work, const struct json *list)
{
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		const char *id = json_text(json_get(item, "id"));
		struct qemu_export *export;

		if (!id || !streq(json_text(json_get(item, "type")), "nbd"))
			continue;
		work->exports = xrealloc(work->exports, (work->export_count + 1) * sizeof(*work->exports));
		export = &work->exports[work->export_count++];
		memset(export, 0, sizeof(*export));
		export->id = xstrdup(id);
		copy_node_name(export->node, json_get(item, "node-name"));
		export->going = json_true(json_get(item, "shutting-down"));
		parse_id(export);
	}
}

static void take_nodes(struct qemu_work *work, const struct json *list)
{
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		struct qemu_node *node;
		int64_t size = 0;

		if (json_integer(json_get(json_get(item, "image"), "virtual-size"), &size) < 0)
			size = 0;
		work->nodes = xrealloc(work->nodes, (work->node_count + 1) * sizeof(*work->nodes));
		node = &work->nodes[work->node_count++];
		memset(node, 0, sizeof(*node));
		copy_node_name(node->name, json_get(item, "node-name"));
		node->path = xstrdup(str_or(json_text(json_get(item, "file")), ""));
		node->read_only = json_true(json_get(item, "ro"));
		node->size = (uint64_t)size;
	}
}

static const struct qemu_export *find_export(const struct qemu_work *work, const char *name)
{
	for (size_t i = 0; i < work->export_count; i++) {
		if (work->exports[i].name && streq(work->exports[i].name, name))
			return &work->exports[i];
	}
	return NULL;
}

static struct qemu_node *find_node(const struct qemu_work *work, const char *name)
{
	for (size_t i = 0; i < work->node_count; i++) {
		if (streq(work->nodes[i].name, name))
			return &work->nodes[i];
	}
	return NULL;
}

static bool node_is_used(const struct qemu_work *work, const struct qemu_node *node)
{
	for (size_t i = 0; i < work->export_count; i++) {
		if (streq(work->exports[i].node, node->name))
			return true;
	}
	return streq(node->name, work->node);
}

/* A node of ours with no export on it: left over from a removal, or from an addition that was cut off. */
static struct qemu_node *find_stray(const struct qemu_work *work)
{
	for (size_t i = 0; i < work->node_count; i++) {
		if (str_has_prefix(work->nodes[i].name, NODE_PREFIX) && !work->nodes[i].kept &&
		    !node_is_used(work, &work->nodes[i]))
			return &work->nodes[i];
	}
	return NULL;
}

/* ---- a call's end ---- */

static void end(struct qemu *qemu, const struct err *err)
{
	exporter_end(qemu->exporter, err);
}

static void refused(struct qemu *qemu, const char *what, const struct err *reply)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "qemu-storage-daemon cannot %s %s: %s", what, str_or(qemu->work.call->name, ""),
		reply->text);
	end(qemu, &err);
}

static void on_again(struct loop_timer *timer)
{
	look(container_of(timer, struct qemu, work.again));
}

static void look_again_soon(struct qemu *qemu)
{
	loop_timer_set(qemu->exporter->loop, &qemu->work.again, AGAIN_MS);
}

/* True when nobody waits for what comes of a command any more: then there is nothing to go on with. */
static bool is_over(struct qemu *qemu)
{
	if (qemu->work.call)
		return false;
	exporter_idle(qemu->exporter);
	return true;
}

/* ---- looking ---- */

static void on_nodes(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (is_over(qemu))
		return;
	if (err->code != ERR_NONE) {
		refused(qemu, "list its devices for", err);
		return;
	}
	take_nodes(&qemu->work, result);
	decide(qemu);
}

static void on_exports(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (is_over(qemu))
		return;
	if (err->code != ERR_NONE) {
		refused(qemu, "list its exports for", err);
		return;
	}
	take_exports(&qemu->work, result);
	qemu_send(qemu, "query-named-block-nodes", "{\"flat\":true}", on_nodes);
}

static void look(struct qemu *qemu)
{
	forget(&qemu->work);
	qemu_send(qemu, "query-block-exports", NULL, on_exports);
}

/* ---- doing ---- */

static void send_named(struct qemu *qemu, const char *command, const char *key, const char *value, const char *mode,
		       qmp_reply_fn reply)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, key);
	json_put_text(&w, value);
	if (mode) {
		json_put_name(&w, "mode");
		json_put_text(&w, mode);
	}
	json_end_object(&w);
	qemu_send(qemu, command, text.data, reply);
}

static void on_stray_removed(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;
	struct qemu_node *node;

	if (is_over(qemu))
		return;
	node = find_stray(&qemu->work);
	assert(node);
	if (err->code == ERR_NONE)
		node->name[0] = '\0';
	else
		node->kept = true;
	decide(qemu);
}

static void remove_stray(struct qemu *qemu, const struct qemu_node *node)
{
	send_named(qemu, "blockdev-del", "node-name", node->name, NULL, on_stray_removed);
}

/* Who is in the way of a removal; nobody is when a client (or a handshake of ours) was just leaving. */
static void on_users(void *arg, const struct export_client *clients, size_t count, const struct err *looked)
{
	struct qemu *qemu = arg;
	const struct qemu_work *work = &qemu->work;
	struct err err;

	qemu->work.look = NULL;
	if (count == 0 && clock_mono_ms() - work->call->since_ms < qemu->exporter->options.timeout_ms / 2) {
		look_again_soon(qemu);
		return;
	}
	export_in_use(&err, work->call->name, clients, count, work->export_count == 1);
	end(qemu, &err);
}

static void on_export_removed(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (is_over(qemu))
		return;
	if (err->code == ERR_NONE) {
		look(qemu);
		return;
	}
	qemu->work.leaving[0] = '\0';
	if (strstr(err->text, "in use"))
		qemu->work.look = clients_scan_start(qemu->exporter->watch, &qemu->exporter->address, on_users, qemu);
	else
		refused(qemu, "remove export", err);
}

static void remove_export(struct qemu *qemu, const struct qemu_export *export, bool force)
{
	bool is_asked = export->going || streq(qemu->work.leaving, export->node);

	memcpy(qemu->work.leaving, export->node, sizeof(qemu->work.leaving));
	if (is_asked)
		look_again_soon(qemu);
	else
		send_named(qemu, "block-export-del", "id", export->id, force ? "hard" : "safe", on_export_removed);
}

static void on_export_added(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (is_over(qemu))
		return;
	qemu->work.node[0] = '\0'; /* an export's now, or a stray */
	if (err->code != ERR_NONE)
		err_set(&qemu->work.err, ERR_UNAVAILABLE, "qemu-storage-daemon cannot export %s as %s: %s",
			qemu->work.call->device_path, qemu->work.call->name, err->text);
	qemu->work.added = err->code == ERR_NONE;
	look(qemu);
}

static void add_export(struct qemu *qemu)
{
	const struct qemu_work *work = &qemu->work;
	const struct export_call *call = work->call;
	_cleanup_free_ char *id = xasprintf(ID_PREFIX "%s.%s", call->name, work->device.identity);
	_cleanup_buf_ struct buf text = BUF_NULL;
	struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, "type");
	json_put_text(&w, "nbd");
	json_put_name(&w, "id");
	json_put_text(&w, id);
	json_put_name(&w, "node-name");
	json_put_text(&w, work->node);
	json_put_name(&w, "name");
	json_put_text(&w, call->name);
	json_put_name(&w, "writable");
	json_put_bool(&w, !call->read_only);
	json_end_object(&w);
	qemu_send(qemu, "block-export-add", text.data, on_export_added);
}

static void on_node_added(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (is_over(qemu))
		return;
	if (err->code != ERR_NONE) {
		qemu->work.node[0] = '\0';
		refused(qemu, "open the device of export", err);
		return;
	}
	add_export(qemu);
}

static void add_node(struct qemu *qemu)
{
	struct qemu_work *work = &qemu->work;
	_cleanup_buf_ struct buf text = BUF_NULL;
	struct json_writer w = { .out = &text };

	/* An engine found running has names of an earlier daemon; the time tells them apart. */
	snprintf(work->node, sizeof(work->node), NODE_PREFIX "%llx-%x", (unsigned long long)clock_wall_ms(),
		 ++qemu->nodes_made);
	json_begin_object(&w);
	json_put_name(&w, "driver");
	json_put_text(&w, work->device.is_block ? "host_device" : "file");
	json_put_name(&w, "node-name");
	json_put_text(&w, work->node);
	json_put_name(&w, "filename");
	json_put_text(&w, work->call->device_path);
	json_put_name(&w, "read-only");
	json_put_bool(&w, work->call->read_only);
	json_put_name(&w, "discard");
	json_put_text(&w, "unmap");
	if (work->device.is_block) {
		json_put_name(&w, "cache");
		json_put_raw(&w, "{\"direct\":true,\"no-flush\":false}");
		json_put_name(&w, "aio");
		json_put_text(&w, "native");
	}
	json_end_object(&w);
	qemu_send(qemu, "blockdev-add", text.data, on_node_added);
}

/* The engine reads from a device when it opens it; one that hangs would take all exports with it. */
static void on_probed(void *arg, const struct probe_result *result)
{
	struct qemu *qemu = arg;

	qemu->work.probe = NULL;
	if (result->err.code != ERR_NONE) {
		end(qemu, &result->err);
		return;
	}
	qemu->work.answers = true;
	decide(qemu);
}

/* ---- the verbs ---- */

static bool is_as_asked(const struct qemu_work *work, const struct qemu_export *export)
{
	const struct export_call *call = work->call;
	const struct qemu_node *node = find_node(work, export->node);

	return node && !export->going && streq(export->identity, work->device.identity) &&
	       streq(node->path, call->device_path) && node->read_only == call->read_only &&
	       node->size == work->device.size;
}

static void decide_add(struct qemu *qemu)
{
	struct qemu_work *work = &qemu->work;
	const struct qemu_export *export = find_export(work, work->call->name);
	struct err err = work->err;

	if (err.code != ERR_NONE) {
		end(qemu, &err);
	} else if (export && is_as_asked(work, export)) {
		end(qemu, NULL);
	} else if (work->added) {
		err_set(&err, ERR_UNAVAILABLE, "qemu-storage-daemon took export %s, but does not serve it as asked",
			work->call->name);
		end(qemu, &err);
	} else if (export) {
		remove_export(qemu, export, false);
	} else if (!work->answers) {
		work->probe = probe_start(qemu->exporter->prober, work->call->device_path, on_probed, qemu);
	} else {
		add_node(qemu);
	}
}

static void on_clients(void *arg, const struct export_client *clients, size_t count, const struct err *err)
{
	struct qemu *qemu = arg;
	const struct qemu_work *work = &qemu->work;
	/* One export has all of them; and if there are none at all, no export has. */
	bool certain = err->code == ERR_NONE && (count == 0 || work->export_count == 1);

	qemu->work.look = NULL;
	for (size_t i = 0; i < work->export_count; i++) {
		const struct qemu_export *export = &work->exports[i];
		const struct qemu_node *node = find_node(work, export->node);

		if (export->name && !export->going && node)
			exporter_add_item(qemu->exporter, export->name, node->path, node->read_only, clients, count,
					  certain);
	}
	end(qemu, NULL);
}

/* Does the first thing that is not as it should be. */
static void decide(struct qemu *qemu)
{
	struct qemu_work *work = &qemu->work;
	const struct qemu_node *stray = find_stray(work);
	const struct qemu_export *export;

	if (stray) {
		remove_stray(qemu, stray);
		return;
	}
	if (work->leaving[0] && !find_export(work, work->call->name) && find_node(work, work->leaving)) {
		look_again_soon(qemu); /* its last requests are still under way */
		return;
	}
	switch (work->call->verb) {
	case EXPORT_ADD:
		decide_add(qemu);
		break;
	case EXPORT_REMOVE:
		export = find_export(work, work->call->name);
		if (export)
			remove_export(qemu, export, work->call->force);
		else
			end(qemu, NULL);
		break;
	case EXPORT_LIST:
		work->look = clients_scan_start(qemu->exporter->watch, &qemu->exporter->address, on_clients, qemu);
		break;
	case EXPORT_CHECK:
		break; /* needs no engine */
	}
}

void qemu_work_begin(struct qemu *qemu, struct export_call *call)
{
	struct qemu_work *work = &qemu->work;
	struct err err;

	assert(!work->call && qemu_work_is_idle(qemu));
	work->call = call;
	work->node[0] = work->leaving[0] = '\0';
	work->added = work->answers = false;
	work->err.code = ERR_NONE;
	if (call->verb == EXPORT_ADD) {
		if (backing_query(qemu->exporter->options.sysfs_root, call->device_path, &work->device, &err) < 0) {
			end(qemu, &err);
			return;
		}
		if (work->device.read_only && !call->read_only) {
			err_set(&err, ERR_CONFLICT, "%s is read-only; it can only be exported read-only",
				call->device_path);
			end(qemu, &err);
			return;
		}
	}
	look(qemu);
}

void qemu_work_abandon(struct qemu *qemu)
{
	struct qemu_work *work = &qemu->work;

	work->call = NULL;
	loop_timer_clear(qemu->exporter->loop, &work->again);
	if (work->probe)
		probe_cancel(work->probe);
	if (work->look)
		clients_scan_cancel(work->look);
	work->probe = NULL;
	work->look = NULL;
}

void qemu_work_event(struct qemu *qemu, const char *name)
{
	if (streq(name, "BLOCK_EXPORT_DELETED") && loop_timer_is_set(&qemu->work.again))
		loop_timer_set(qemu->exporter->loop, &qemu->work.again, 0);
}

bool qemu_work_is_idle(const struct qemu *qemu)
{
	return !qmp_is_busy(qemu->qmp);
}

void qemu_work_reset(struct qemu *qemu)
{
	qemu_work_abandon(qemu);
	forget(&qemu->work);
}

void qemu_work_init(struct qemu *qemu)
{
	qemu->work.again.fire = on_again;
}
