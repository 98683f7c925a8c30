/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The verbs on qemu-storage-daemon. For an export the engine has a block node, which holds the
 * device open, and an NBD export on top of it.
 *
 * No state of exports and nodes is kept between calls, for the engine knows best, and after a crash
 * of either side the engine alone knows. A call looks (which exports, which nodes), then repairs
 * the first difference from the desired state, and so on until there is none; see decide(). Thus
 * the next call carries on or cleans up all work that was interrupted, by a deadline in the middle
 * or by our death.
 *
 * The engine tells neither the name of an export nor the device it was made for, but it gives back
 * the export's id, which is ours to choose: "vold.<name>.<identity of the device>". The id shows
 * that a device was replaced by another one under its path. Node names are limited to 31 bytes and
 * only need to be different from each other.
 *
 * Block devices are opened past the page cache: data that an export acknowledged before a flush is
 * on the disk after it, no data has to be written back when the disk goes, and the kernel's
 * asynchronous I/O then keeps one hanging device from taking the threads the others need.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "nbd/qemu_verbs.h"

#define ID_PREFIX "vold."
#define NODE_PREFIX "vold-"
#define AGAIN_MS 20 /* between queries of a state that only takes time */
#define LEAVING_MS 500

static void decide(struct qemu_verbs *verbs);
static void query(struct qemu_verbs *verbs);

/* ---- the engine's state ---- */

static void forget(struct qemu_verbs *verbs)
{
	for (size_t i = 0; i < verbs->export_count; i++) {
		free(verbs->exports[i].id);
		free(verbs->exports[i].name);
		free(verbs->exports[i].identity);
	}
	for (size_t i = 0; i < verbs->node_count; i++)
		free(verbs->nodes[i].path);
	free(verbs->exports);
	free(verbs->nodes);
	verbs->exports = NULL;
	verbs->nodes = NULL;
	verbs->export_count = verbs->node_count = 0;
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

static void take_exports(struct qemu_verbs *verbs, const struct json *list)
{
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		const char *id = json_text(json_get(item, "id"));
		struct qemu_export *export;

		if (!id || !streq(json_text(json_get(item, "type")), "nbd"))
			continue;
		verbs->exports = xrealloc(verbs->exports,
					  (verbs->export_count + 1) * sizeof(*verbs->exports));
		export = &verbs->exports[verbs->export_count++];
		memset(export, 0, sizeof(*export));
		export->id = xstrdup(id);
		copy_node_name(export->node, json_get(item, "node-name"));
		export->going = json_true(json_get(item, "shutting-down"));
		parse_id(export);
	}
}

static void take_nodes(struct qemu_verbs *verbs, const struct json *list)
{
	for (const struct json *item = json_first(list); item; item = json_next(item)) {
		struct qemu_node *node;
		int64_t size = 0;

		if (json_integer(json_get(json_get(item, "image"), "virtual-size"), &size) < 0)
			size = 0;
		verbs->nodes =
			xrealloc(verbs->nodes, (verbs->node_count + 1) * sizeof(*verbs->nodes));
		node = &verbs->nodes[verbs->node_count++];
		memset(node, 0, sizeof(*node));
		copy_node_name(node->name, json_get(item, "node-name"));
		node->path = xstrdup(str_or(json_text(json_get(item, "file")), ""));
		node->read_only = json_true(json_get(item, "ro"));
		node->size = (uint64_t)size;
	}
}

static const struct qemu_export *find_export(const struct qemu_verbs *verbs, const char *name)
{
	for (size_t i = 0; i < verbs->export_count; i++) {
		if (verbs->exports[i].name && streq(verbs->exports[i].name, name))
			return &verbs->exports[i];
	}
	return NULL;
}

static struct qemu_node *find_node(const struct qemu_verbs *verbs, const char *name)
{
	for (size_t i = 0; i < verbs->node_count; i++) {
		if (streq(verbs->nodes[i].name, name))
			return &verbs->nodes[i];
	}
	return NULL;
}

static bool node_is_used(const struct qemu_verbs *verbs, const struct qemu_node *node)
{
	for (size_t i = 0; i < verbs->export_count; i++) {
		if (streq(verbs->exports[i].node, node->name))
			return true;
	}
	return streq(node->name, verbs->node);
}

/*
 * A node of ours with no export on it: left over from a removal, or from an addition that was cut
 * off.
 */
static struct qemu_node *find_stray(const struct qemu_verbs *verbs)
{
	for (size_t i = 0; i < verbs->node_count; i++) {
		if (str_has_prefix(verbs->nodes[i].name, NODE_PREFIX) && !verbs->nodes[i].kept &&
		    !node_is_used(verbs, &verbs->nodes[i]))
			return &verbs->nodes[i];
	}
	return NULL;
}

/* ---- commands ---- */

void qemu_verbs_send(struct qemu_verbs *verbs, const char *command, const char *arguments,
		     qmp_reply_fn reply, void *arg)
{
	verbs->sent_ms = clock_waking_ms();
	qmp_send(verbs->qmp, command, arguments, reply, arg);
}

/* ---- a call's end ---- */

static void end(struct qemu_verbs *verbs, const struct err *err)
{
	engine_end(verbs->engine, err);
}

static void refused(struct qemu_verbs *verbs, const char *what, const struct err *reply)
{
	struct err err;

	err_set(&err, ERR_UNAVAILABLE, "qemu-storage-daemon cannot %s %s: %s", what,
		str_or(verbs->call->name, ""), reply->text);
	end(verbs, &err);
}

static void on_again(struct loop_timer *timer)
{
	query(container_of(timer, struct qemu_verbs, again));
}

static void query_again_soon(struct qemu_verbs *verbs)
{
	loop_timer_set(verbs->engine->loop, &verbs->again, AGAIN_MS);
}

/* True if no caller waits for the result of a command any more: then the call is over. */
static bool is_over(struct qemu_verbs *verbs)
{
	if (verbs->call)
		return false;
	engine_idle(verbs->engine);
	return true;
}

/* ---- queries ---- */

static void on_nodes(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;

	if (is_over(verbs))
		return;
	if (err->code != ERR_NONE) {
		refused(verbs, "list its devices for", err);
		return;
	}
	take_nodes(verbs, result);
	decide(verbs);
}

static void on_exports(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;

	if (is_over(verbs))
		return;
	if (err->code != ERR_NONE) {
		refused(verbs, "list its exports for", err);
		return;
	}
	take_exports(verbs, result);
	qemu_verbs_send(verbs, "query-named-block-nodes", "{\"flat\":true}", on_nodes, verbs);
}

static void query(struct qemu_verbs *verbs)
{
	forget(verbs);
	qemu_verbs_send(verbs, "query-block-exports", NULL, on_exports, verbs);
}

/* ---- changes ---- */

static void send_named(struct qemu_verbs *verbs, const char *command, const char *key,
		       const char *value, const char *mode, qmp_reply_fn reply)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, key);
	json_put_text(&w, value);
	if (mode) {
		json_put_name(&w, "mode");
		json_put_text(&w, mode);
	}
	json_end_object(&w);
	qemu_verbs_send(verbs, command, text.data, reply, verbs);
}

static void on_stray_removed(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;
	struct qemu_node *node;

	if (is_over(verbs))
		return;
	node = find_stray(verbs);
	assert(node);
	if (err->code == ERR_NONE)
		node->name[0] = '\0';
	else
		node->kept = true;
	decide(verbs);
}

static void remove_stray(struct qemu_verbs *verbs, const struct qemu_node *node)
{
	send_named(verbs, "blockdev-del", "node-name", node->name, NULL, on_stray_removed);
}

/*
 * The clients in the way of a removal; none if a client (or our handshake) was just leaving. Other
 * connections than the client's may be seen in that moment, so they count after LEAVING_MS only.
 */
static void on_users(void *arg, const struct export_client *clients, size_t count,
		     const struct err *looked)
{
	struct qemu_verbs *verbs = arg;
	int64_t patience_ms = count ? LEAVING_MS : verbs->engine->options->timeout_ms / 2;
	struct err err;

	verbs->scan = NULL;
	if (clock_waking_ms() - verbs->call->since_ms < patience_ms) {
		query_again_soon(verbs);
		return;
	}
	engine_in_use(&err, verbs->call->name, clients, count, false);
	end(verbs, &err);
}

static void on_export_removed(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;

	if (is_over(verbs))
		return;
	if (err->code == ERR_NONE) {
		query(verbs);
		return;
	}
	verbs->leaving[0] = '\0';
	if (strstr(err->text, "in use"))
		verbs->scan = clients_scan_start(verbs->engine->clients, &verbs->engine->address,
						 on_users, verbs);
	else
		refused(verbs, "remove export", err);
}

static void remove_export(struct qemu_verbs *verbs, const struct qemu_export *export, bool force)
{
	bool is_asked = export->going || streq(verbs->leaving, export->node);

	memcpy(verbs->leaving, export->node, sizeof(verbs->leaving));
	if (is_asked)
		query_again_soon(verbs);
	else
		send_named(verbs, "block-export-del", "id", export->id, force ? "hard" : "safe",
			   on_export_removed);
}

static void on_export_added(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;

	if (is_over(verbs))
		return;
	verbs->node[0] = '\0'; /* an export's now, or a stray */
	if (err->code != ERR_NONE)
		err_set(&verbs->err, ERR_UNAVAILABLE,
			"qemu-storage-daemon cannot export %s as %s: %s", verbs->call->device_path,
			verbs->call->name, err->text);
	verbs->added = err->code == ERR_NONE;
	query(verbs);
}

static void add_export(struct qemu_verbs *verbs)
{
	const struct export_call *call = verbs->call;
	_cleanup_free_ char *id = xasprintf(ID_PREFIX "%s.%s", call->name, verbs->device.identity);
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, "type");
	json_put_text(&w, "nbd");
	json_put_name(&w, "id");
	json_put_text(&w, id);
	json_put_name(&w, "node-name");
	json_put_text(&w, verbs->node);
	json_put_name(&w, "name");
	json_put_text(&w, call->name);
	json_put_name(&w, "writable");
	json_put_bool(&w, !call->read_only);
	json_end_object(&w);
	qemu_verbs_send(verbs, "block-export-add", text.data, on_export_added, verbs);
}

static void on_node_added(void *arg, const struct json *result, const struct err *err)
{
	struct qemu_verbs *verbs = arg;

	if (is_over(verbs))
		return;
	if (err->code != ERR_NONE) {
		verbs->node[0] = '\0';
		refused(verbs, "open the device of export", err);
		return;
	}
	add_export(verbs);
}

static void add_node(struct qemu_verbs *verbs)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	/* An engine found running has names of an earlier daemon; the time keeps ours different. */
	snprintf(verbs->node, sizeof(verbs->node), NODE_PREFIX "%llx-%x",
		 (unsigned long long)clock_wall_ms(), ++verbs->nodes_made);
	json_begin_object(&w);
	json_put_name(&w, "driver");
	json_put_text(&w, verbs->device.is_block ? "host_device" : "file");
	json_put_name(&w, "node-name");
	json_put_text(&w, verbs->node);
	json_put_name(&w, "filename");
	json_put_text(&w, verbs->call->device_path);
	json_put_name(&w, "read-only");
	json_put_bool(&w, verbs->call->read_only);
	json_put_name(&w, "discard");
	json_put_text(&w, "unmap");
	if (verbs->device.is_block) {
		json_put_name(&w, "cache");
		json_put_raw(&w, "{\"direct\":true,\"no-flush\":false}");
		json_put_name(&w, "aio");
		json_put_text(&w, "native");
	}
	json_end_object(&w);
	qemu_verbs_send(verbs, "blockdev-add", text.data, on_node_added, verbs);
}

/* The engine reads from a device when it opens it; a hanging one would take all exports with it. */
static void on_probed(void *arg, const struct probe_result *result)
{
	struct qemu_verbs *verbs = arg;

	verbs->probe = NULL;
	if (result->err.code != ERR_NONE) {
		end(verbs, &result->err);
		return;
	}
	verbs->answers = true;
	decide(verbs);
}

/* ---- the verbs ---- */

static bool is_as_asked(const struct qemu_verbs *verbs, const struct qemu_export *export)
{
	const struct export_call *call = verbs->call;
	const struct qemu_node *node = find_node(verbs, export->node);

	return node && !export->going && streq(export->identity, verbs->device.identity) &&
	       streq(node->path, call->device_path) && node->read_only == call->read_only &&
	       node->size == verbs->device.size;
}

static void decide_add(struct qemu_verbs *verbs)
{
	const struct qemu_export *export = find_export(verbs, verbs->call->name);
	struct err err = verbs->err;

	if (err.code != ERR_NONE) {
		end(verbs, &err);
	} else if (export && is_as_asked(verbs, export)) {
		end(verbs, NULL);
	} else if (verbs->added) {
		err_set(&err, ERR_UNAVAILABLE,
			"qemu-storage-daemon took export %s, but does not serve it as asked",
			verbs->call->name);
		end(verbs, &err);
	} else if (export) {
		remove_export(verbs, export, false);
	} else if (!verbs->answers) {
		verbs->probe = probe_start(verbs->engine->prober, verbs->call->device_path,
					   on_probed, verbs);
	} else {
		add_node(verbs);
	}
}

static void on_clients(void *arg, const struct export_client *clients, size_t count,
		       const struct err *err)
{
	struct qemu_verbs *verbs = arg;
	/* A connection need not have chosen an export, and the engine tells only when the export is
	 * removed. */
	bool certain = err->code == ERR_NONE && count == 0;

	verbs->scan = NULL;
	for (size_t i = 0; i < verbs->export_count; i++) {
		const struct qemu_export *export = &verbs->exports[i];
		const struct qemu_node *node = find_node(verbs, export->node);

		if (export->name && !export->going && node)
			engine_add_item(verbs->engine, export->name, node->path, node->read_only,
					clients, count, certain);
	}
	end(verbs, NULL);
}

/* Repairs the first difference from the desired state. */
static void decide(struct qemu_verbs *verbs)
{
	const struct qemu_node *stray = find_stray(verbs);
	const struct qemu_export *export;

	if (stray) {
		remove_stray(verbs, stray);
		return;
	}
	if (verbs->leaving[0] && !find_export(verbs, verbs->call->name) &&
	    find_node(verbs, verbs->leaving)) {
		query_again_soon(verbs); /* its last requests are still under way */
		return;
	}
	switch (verbs->call->verb) {
	case EXPORT_ADD:
		decide_add(verbs);
		break;
	case EXPORT_REMOVE:
		export = find_export(verbs, verbs->call->name);
		if (export)
			remove_export(verbs, export, verbs->call->force);
		else
			end(verbs, NULL);
		break;
	case EXPORT_LIST:
		verbs->scan = clients_scan_start(verbs->engine->clients, &verbs->engine->address,
						 on_clients, verbs);
		break;
	case EXPORT_CHECK:
		break; /* needs no engine */
	}
}

void qemu_verbs_begin(struct qemu_verbs *verbs, struct export_call *call)
{
	struct err err;

	assert(!verbs->call && qemu_verbs_is_idle(verbs));
	verbs->call = call;
	verbs->node[0] = verbs->leaving[0] = '\0';
	verbs->added = verbs->answers = false;
	verbs->err.code = ERR_NONE;
	if (call->verb == EXPORT_ADD) {
		if (backing_query(verbs->engine->options->sysfs_root, call->device_path,
				  &verbs->device, &err) < 0) {
			end(verbs, &err);
			return;
		}
		if (verbs->device.read_only && !call->read_only) {
			err_set(&err, ERR_CONFLICT,
				"%s is read-only; it can only be exported read-only",
				call->device_path);
			end(verbs, &err);
			return;
		}
	}
	query(verbs);
}

void qemu_verbs_abandon(struct qemu_verbs *verbs)
{

	verbs->call = NULL;
	loop_timer_clear(verbs->engine->loop, &verbs->again);
	if (verbs->probe)
		probe_cancel(verbs->probe);
	if (verbs->scan)
		clients_scan_cancel(verbs->scan);
	verbs->probe = NULL;
	verbs->scan = NULL;
}

void qemu_verbs_event(struct qemu_verbs *verbs, const char *name)
{
	if (streq(name, "BLOCK_EXPORT_DELETED") && loop_timer_is_set(&verbs->again))
		loop_timer_set(verbs->engine->loop, &verbs->again, 0);
}

bool qemu_verbs_is_idle(const struct qemu_verbs *verbs)
{
	return !qmp_is_busy(verbs->qmp);
}

void qemu_verbs_reset(struct qemu_verbs *verbs)
{
	qemu_verbs_abandon(verbs);
	forget(verbs);
}

void qemu_verbs_init(struct qemu_verbs *verbs, struct engine *engine)
{
	verbs->engine = engine;
	verbs->again.fire = on_again;
}
