/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exports by hand: the real src/nbd/exporter.c with real engines, for tests and for trying things
 * out.
 *
 * exporter ENGINE RUN_DIR LISTEN TIMEOUT_MS [TLS_DIR [QMP_SOCKET]]      "-" for none of these
 *
 * Reads lines "TOKEN add NAME PATH [ro]", "TOKEN remove NAME [force]", "TOKEN list", "TOKEN check
 * NAME [SIZE]", "TOKEN health" and answers each with a line of JSON that carries the token. The end
 * of the input ends the program as the daemon would end, and the program fails if it has
 * descriptors, threads or children left then; {"event":"lost"} may come at any time.
 */

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "inventory.h"
#include "nbd/exporter.h"

#define WORDS_MAX 6

static struct loop *loop;
static struct exporter *exporter;

/* ---- answers ---- */

struct question {
	char *token;
};

static struct question *question_new(const char *token)
{
	struct question *question = xnew(struct question);

	question->token = xstrdup(token);
	return question;
}

static void question_free(struct question *question)
{
	free(question->token);
	free(question);
}

static void say(struct buf *text)
{
	printf("%s\n", text->data);
	fflush(stdout);
	buf_clear(text);
}

static void begin(struct json_writer *w, const char *token, const struct err *err)
{
	json_begin_object(w);
	json_put_name(w, "token");
	json_put_text(w, token);
	json_put_name(w, "code");
	json_put_text(w, err ? err_view(err->code)->word : "OK");
	json_put_name(w, "text");
	json_put_text(w, err ? err->text : "");
	json_put_name(w, "port");
	json_put_int(w, export_port(exporter));
}

static void on_done(void *arg, const struct err *err)
{
	struct question *question = arg;
	struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	begin(&w, question->token, err);
	json_end_object(&w);
	say(&text);
	question_free(question);
}

static void put_item(struct json_writer *w, const struct export_seen *item)
{
	json_begin_object(w);
	json_put_name(w, "name");
	json_put_text(w, item->name);
	json_put_name(w, "device_path");
	json_put_text(w, item->device_path);
	json_put_name(w, "read_only");
	json_put_bool(w, item->read_only);
	json_put_name(w, "certain");
	json_put_bool(w, item->clients_certain);
	json_put_name(w, "clients");
	json_begin_array(w);
	for (size_t i = 0; i < item->client_count; i++)
		json_put_text(w, item->clients[i].address);
	json_end_array(w);
	json_end_object(w);
}

static void on_listed(void *arg, const struct export_seen *items, size_t count,
		      const struct err *err)
{
	struct question *question = arg;
	struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	begin(&w, question->token, err);
	json_put_name(&w, "exports");
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		put_item(&w, &items[i]);
	json_end_array(&w);
	json_end_object(&w);
	say(&text);
	question_free(question);
}

static void tell_health(const char *token)
{
	struct export_health health;
	struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	exporter_health(exporter, &health);
	begin(&w, token, NULL);
	json_put_name(&w, "ok");
	json_put_bool(&w, health.ok);
	json_put_name(&w, "reason");
	json_put_text(&w, health.reason);
	json_put_name(&w, "engine");
	json_put_text(&w, health.engine);
	json_put_name(&w, "pid");
	json_put_int(&w, health.pid);
	json_put_name(&w, "restarts");
	json_put_uint(&w, health.restarts);
	json_end_object(&w);
	say(&text);
}

static void on_lost(void *arg)
{
	printf("{\"event\":\"lost\"}\n");
	fflush(stdout);
}

/* ---- questions ---- */

static void ask(char **words, size_t count)
{
	const char *token = words[0], *verb = words[1], *name = str_or(words[2], "");
	uint64_t size = 0;

	if (count < 2) {
		return;
	} else if (streq(verb, "add")) {
		const struct export_item item = { name, str_or(words[3], ""),
						  streq(words[4], "ro") };

		export_add(exporter, &item, on_done, question_new(token));
	} else if (streq(verb, "remove")) {
		export_remove(exporter, name, streq(words[3], "force"), on_done,
			      question_new(token));
	} else if (streq(verb, "check")) {
		if (words[3] && parse_u64(words[3], &size) < 0)
			size = 1;
		export_check(exporter, name, size, on_done, question_new(token));
	} else if (streq(verb, "list")) {
		export_list(exporter, on_listed, question_new(token));
	} else if (streq(verb, "health")) {
		tell_health(token);
	}
}

static void on_input(struct bufferevent *input, void *arg)
{
	char *line;

	while ((line = evbuffer_readln(bufferevent_get_input(input), NULL, EVBUFFER_EOL_LF))) {
		char *words[WORDS_MAX + 1] = { NULL }, *save = NULL;
		size_t count = 0;

		for (char *word = strtok_r(line, " ", &save); word && count < WORDS_MAX;
		     word = strtok_r(NULL, " ", &save))
			words[count++] = word;
		ask(words, count);
		free(line);
	}
}

static void on_input_end(struct bufferevent *input, short what, void *arg)
{
	loop_stop(loop);
}

static const char *optional(char **argv, int argc, int index)
{
	return index < argc && !streq(argv[index], "-") ? argv[index] : NULL;
}

static enum export_engine find_engine(const char *name)
{
	for (unsigned engine = 0; engine < EXPORT_ENGINE_COUNT; engine++) {
		if (streq(export_engine_names[engine], name))
			return (enum export_engine)engine;
	}
	return EXPORT_ENGINE_NONE;
}

/* The exit status: 3 after the leftovers were printed. */
static int check_leftovers(struct inventory *before)
{
	struct inventory left = inventory_await_nothing_left(before);
	int status = left.count > 0 ? 3 : 0;

	for (size_t i = 0; i < left.count; i++)
		fprintf(stderr, "the exporter leaves %s\n", left.lines[i]);
	inventory_clear(&left);
	inventory_clear(before);
	return status;
}

int main(int argc, char **argv)
{
	struct exporter_options options = { .proc_root = "/proc",
					    .sysfs_root = "/sys",
					    .lost = on_lost };
	struct inventory before = inventory_take();
	struct bufferevent *input;
	struct err err = { 0 };

	if (argc < 5 || parse_i64(argv[4], &options.timeout_ms) < 0) {
		fprintf(stderr,
			"exporter ENGINE RUN_DIR LISTEN TIMEOUT_MS [TLS_DIR [QMP_SOCKET]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_DEBUG);
	options.engine = find_engine(argv[1]);
	options.run_dir = argv[2];
	options.listen = argv[3];
	options.tls_dir = optional(argv, argc, 5);
	options.qmp_socket = optional(argv, argc, 6);
	loop = loop_new();
	exporter = exporter_new(loop, &options, &err);
	if (!exporter) {
		fprintf(stderr, "%s\n", err.text);
		loop_free(loop);
		inventory_clear(&before);
		return 1;
	}
	input = bufferevent_socket_new(loop_base(loop), STDIN_FILENO, 0);
	bufferevent_setcb(input, on_input, NULL, on_input_end, NULL);
	bufferevent_enable(input, EV_READ);
	loop_run(loop);
	exporter_free(exporter);
	bufferevent_free(input);
	loop_free(loop);
	return check_leftovers(&before);
}
