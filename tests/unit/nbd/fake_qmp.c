/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake_qmp.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

static void send_text(struct fake_qmp *fake, const char *text)
{
	bufferevent_write(fake->stream, text, strlen(text));
}

void fake_qmp_hang_up(struct fake_qmp *fake)
{
	if (fake->stream)
		bufferevent_free(fake->stream);
	fake->stream = NULL;
}

/* ---- what it has ---- */

static struct fake_thing *find(struct fake_thing *things, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(things[i].name, name))
			return &things[i];
	}
	return NULL;
}

struct fake_thing *fake_qmp_find(struct fake_qmp *fake, const char *export_name)
{
	_cleanup_free_ char *prefix = xasprintf("vold.%s.", export_name);

	for (size_t i = 0; i < fake->export_count; i++) {
		if (str_has_prefix(fake->exports[i].name, prefix))
			return &fake->exports[i];
	}
	return NULL;
}

static void drop(struct fake_thing *things, size_t *count, struct fake_thing *thing)
{
	*thing = things[--*count];
}

static void list_exports(struct fake_qmp *fake, struct json_writer *w)
{
	json_begin_array(w);
	for (size_t i = 0; i < fake->export_count; i++) {
		json_begin_object(w);
		json_put_name(w, "type");
		json_put_text(w, "nbd");
		json_put_name(w, "id");
		json_put_text(w, fake->exports[i].name);
		json_put_name(w, "node-name");
		json_put_text(w, fake->exports[i].node);
		json_put_name(w, "shutting-down");
		json_put_bool(w, false);
		json_end_object(w);
	}
	json_end_array(w);
}

static void list_nodes(struct fake_qmp *fake, struct json_writer *w)
{
	json_begin_array(w);
	for (size_t i = 0; i < fake->node_count; i++) {
		struct stat st = { 0 };

		(void)!stat(fake->nodes[i].path, &st);
		json_begin_object(w);
		json_put_name(w, "node-name");
		json_put_text(w, fake->nodes[i].name);
		json_put_name(w, "file");
		json_put_text(w, fake->nodes[i].path);
		json_put_name(w, "ro");
		json_put_bool(w, fake->nodes[i].read_only);
		json_put_name(w, "image");
		json_begin_object(w);
		json_put_name(w, "virtual-size");
		json_put_int(w, st.st_size);
		json_end_object(w);
		json_end_object(w);
	}
	json_end_array(w);
}

/* ---- commands: NULL, or what is wrong ---- */

static void copy(char *out, size_t size, const struct json *arguments, const char *key)
{
	snprintf(out, size, "%s", str_or(json_text(json_get(arguments, key)), ""));
}

static const char *add_node(struct fake_qmp *fake, const struct json *arguments)
{
	struct fake_thing node = { .read_only = json_true(json_get(arguments, "read-only")) };

	copy(node.name, sizeof(node.name), arguments, "node-name");
	copy(node.path, sizeof(node.path), arguments, "filename");
	assert_true(strlen(node.name) <= 31);
	if (find(fake->nodes, fake->node_count, node.name))
		return "Duplicate nodes";
	fake->nodes[fake->node_count++] = node;
	return NULL;
}

static const char *remove_node(struct fake_qmp *fake, const struct json *arguments)
{
	struct fake_thing *node =
		find(fake->nodes, fake->node_count, json_text(json_get(arguments, "node-name")));

	if (!node)
		return "Failed to find node";
	for (size_t i = 0; i < fake->export_count; i++) {
		if (streq(fake->exports[i].node, node->name))
			return "Node is in use";
	}
	drop(fake->nodes, &fake->node_count, node);
	return NULL;
}

static const char *add_export(struct fake_qmp *fake, const struct json *arguments)
{
	struct fake_thing export = { 0 };

	copy(export.name, sizeof(export.name), arguments, "id");
	copy(export.node, sizeof(export.node), arguments, "node-name");
	if (!find(fake->nodes, fake->node_count, export.node))
		return "Cannot find device";
	fake->exports[fake->export_count++] = export;
	return NULL;
}

static const char *remove_export(struct fake_qmp *fake, const struct json *arguments)
{
	struct fake_thing *export =
		find(fake->exports, fake->export_count, json_text(json_get(arguments, "id")));

	if (!export)
		return "Export is not found";
	if (export->in_use && streq(json_text(json_get(arguments, "mode")), "safe"))
		return "export still in use";
	drop(fake->exports, &fake->export_count, export);
	send_text(fake, "{\"event\":\"BLOCK_EXPORT_DELETED\",\"data\":{}}\n");
	return NULL;
}

static const char *add_object(struct fake_qmp *fake, const struct json *arguments)
{
	assert_string_equal(json_text(json_get(arguments, "qom-type")), "tls-creds-x509");
	assert_string_equal(json_text(json_get(arguments, "endpoint")), "server");
	copy(fake->tls_name, sizeof(fake->tls_name), arguments, "id");
	copy(fake->tls_dir, sizeof(fake->tls_dir), arguments, "dir");
	fake->tls_verifies = json_true(json_get(arguments, "verify-peer"));
	return NULL;
}

static const char *start_server(struct fake_qmp *fake, const struct json *arguments)
{
	const struct json *address = json_get(arguments, "addr"), *data = json_get(address, "data");
	int64_t limit;

	/* Zero is no limit. */
	assert_int_equal(json_integer(json_get(arguments, "max-connections"), &limit), 0);
	assert_int_equal(limit, 0);
	assert_string_equal(json_text(json_get(address, "type")), "inet");
	snprintf(fake->server_address, sizeof(fake->server_address), "%s:%s",
		 json_text(json_get(data, "host")), json_text(json_get(data, "port")));
	copy(fake->server_tls, sizeof(fake->server_tls), arguments, "tls-creds");
	return streq(fake->taken, fake->server_address) ? "Address already in use" : NULL;
}

static const char *obey(struct fake_qmp *fake, const char *command, const struct json *arguments,
			struct json_writer *w)
{
	const char *wrong = NULL;

	if (streq(command, "query-block-exports")) {
		list_exports(fake, w);
		return NULL;
	}
	if (streq(command, "query-named-block-nodes")) {
		list_nodes(fake, w);
		return NULL;
	}
	if (streq(command, "blockdev-add"))
		wrong = add_node(fake, arguments);
	else if (streq(command, "blockdev-del"))
		wrong = remove_node(fake, arguments);
	else if (streq(command, "block-export-add"))
		wrong = add_export(fake, arguments);
	else if (streq(command, "block-export-del"))
		wrong = remove_export(fake, arguments);
	else if (streq(command, "object-add"))
		wrong = add_object(fake, arguments);
	else if (streq(command, "nbd-server-start"))
		wrong = start_server(fake, arguments);
	else
		assert_string_equal(command, "qmp_capabilities");
	json_begin_object(w);
	json_end_object(w);
	return wrong;
}

/* ---- the conversation ---- */

static void answer(struct fake_qmp *fake, const char *id, const char *wrong, const char *result)
{
	_cleanup_free_ char *text =
		wrong ? xasprintf(
				"{\"id\":\"%s\",\"error\":{\"class\":\"GenericError\",\"desc\":\"%s\"}}\r\n",
				id, wrong)
		      : xasprintf("{\"return\":%s,\"id\":\"%s\"}\r\n", result, id);

	send_text(fake, text);
}

/* What goes wrong instead of an answer. */
static void misbehave(struct fake_qmp *fake, enum fake_fault fault, const char *id)
{
	static const char noise[] = "\x01\x02 no JSON \xff\n";
	char block[65536];

	switch (fault) {
	case FAULT_REFUSE:
		answer(fake, id, "it does not want to", NULL);
		break;
	case FAULT_SULK:
		answer(fake, id, "", NULL);
		break;
	case FAULT_LIE:
		answer(fake, id, NULL, "{}");
		break;
	case FAULT_GARBAGE:
		send_text(fake, noise);
		break;
	case FAULT_ENDLESS:
		memset(block, '[', sizeof(block));
		for (int i = 0; i < 80; i++)
			bufferevent_write(fake->stream, block, sizeof(block));
		break;
	case FAULT_DIE:
		fake_qmp_hang_up(fake);
		break;
	case FAULT_HANG:
	case FAULT_FOREIGN:
	case FAULT_NONE:
		break;
	}
}

/* True: that is all. */
static bool goes_wrong(struct fake_qmp *fake, const char *command, const char *id)
{
	if (fake->fault == FAULT_NONE || !streq(fake->fault_command, command))
		return false;
	if (fake->fault != FAULT_FOREIGN) {
		misbehave(fake, fake->fault, id);
		return true;
	}
	answer(fake, "somebody's", NULL, "{}");
	answer(fake, "somebody's", "it is not there", NULL);
	return false;
}

static void take_command(struct fake_qmp *fake, const char *line, size_t length)
{
	_cleanup_json_ struct json *message = json_parse(line, length, NULL);
	const char *command = json_text(json_get(message, "execute")),
		   *id = json_text(json_get(message, "id")), *wrong;
	_cleanup_buf_ struct buf result = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &result };

	assert_non_null(command);
	assert_non_null(id);
	buf_printf(&fake->heard, "%s ", command);
	if (goes_wrong(fake, command, id)) {
		if (fake->fault == FAULT_HANG)
			str_set(&fake->held, line);
		return;
	}
	wrong = obey(fake, command, json_get(message, "arguments"), &w);
	answer(fake, id, wrong, result.data);
}

int fake_qmp_answer_late(struct fake_qmp *fake)
{
	_cleanup_free_ char *held = TAKE_PTR(fake->held);

	if (!held)
		return -1;
	take_command(fake, held, strlen(held));
	return 0;
}

static void on_read(struct bufferevent *stream, void *arg)
{
	struct fake_qmp *fake = arg;
	size_t length;
	char *line;

	while (fake->stream == stream &&
	       (line = evbuffer_readln(bufferevent_get_input(stream), &length, EVBUFFER_EOL_LF))) {
		take_command(fake, line, length);
		free(line);
	}
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	fake_qmp_hang_up(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int length, void *arg)
{
	struct fake_qmp *fake = arg;

	fake_qmp_hang_up(fake);
	fake->stream = bufferevent_socket_new(loop_base(fake->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(fake->stream, on_read, NULL, on_event, fake);
	bufferevent_enable(fake->stream, EV_READ | EV_WRITE);
	if (!goes_wrong(fake, "greeting", "none"))
		send_text(fake, "{\"QMP\":{\"version\":{},\"capabilities\":[\"oob\"]}}\r\n");
}

void fake_qmp_open(struct fake_qmp *fake, struct loop *loop, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(fake, 0, sizeof(*fake));
	fake->loop = loop;
	fake->path = xstrdup(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fake->listener =
		evconnlistener_new_bind(loop_base(loop), on_accept, fake,
					LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 4,
					(const struct sockaddr *)&address, sizeof(address));
	assert_non_null(fake->listener);
}

void fake_qmp_die(struct fake_qmp *fake)
{
	fake_qmp_hang_up(fake);
	fake->node_count = fake->export_count = 0;
}

void fake_qmp_close(struct fake_qmp *fake)
{
	fake_qmp_hang_up(fake);
	evconnlistener_free(fake->listener);
	unlink(fake->path);
	free(fake->path);
	free(fake->held);
	buf_clear(&fake->heard);
}

unsigned fake_qmp_heard(const struct fake_qmp *fake, const char *command)
{
	_cleanup_free_ char *word = xasprintf("%s ", command);
	unsigned count = 0;

	for (const char *at = fake->heard.data; at && (at = strstr(at, word)); at += strlen(word))
		count++;
	return count;
}
