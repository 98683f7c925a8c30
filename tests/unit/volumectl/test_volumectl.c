/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The program itself, run as a person would, against the real bus surface above a core of paper in
 * another process. An operation there takes a step each time that volumectl asks for it, so every
 * step is seen; which volume is named decides how it ends.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* after those it needs */
#include <cmocka.h>

#include "api/bus/bus.h"
#include "bus_daemon.h"
#include "fake_core.h"

#define FAILING_UUID "0195a1f0-7c3e-7b11-8f00-00000000dead"

static const char *program;
static struct bus_daemon bus_daemon;
static pid_t server;

/* --- the other side --- */

struct paper_daemon {
	struct core core;
	struct bus *bus;
	struct loop_hook hook;
	int ready_fd;
	size_t turn;
	bool fails;
};

static void tell(struct paper_daemon *d, enum event_type type)
{
	struct core_event event = { .type = type,
				    .id = d->core.operation.id,
				    .operation = &d->core.operation };

	fake_core_tell(&d->core, &event);
}

static void on_look(struct paper_daemon *d)
{
	static const char *const steps[] = { "claim", "ask-cloud", "await-device" };
	struct operation_record *operation = &d->core.operation;

	if (!operation->id || operation_status_is_final(operation->status))
		return;
	if (d->turn < ARRAY_SIZE(steps)) {
		operation->status = OPERATION_EXECUTING;
		str_set(&operation->step, steps[d->turn++]);
		tell(d, EVENT_OPERATION_CHANGED);
		return;
	}
	operation->status = d->fails ? OPERATION_FAILED : OPERATION_COMPLETED;
	str_set(&operation->error, d->fails ? "the device is mounted on /srv" : NULL);
	str_set(&operation->error_code, d->fails ? "CONFLICT" : NULL);
	str_set(&operation->response,
		d->fails ? NULL : "{\"device_path\":\"/dev/vdb\",\"message\":\"attached\"}");
	tell(d, EVENT_OPERATION_ENDED);
}

static void on_call(struct core *core, enum method_id id)
{
	struct paper_daemon *d = container_of(core, struct paper_daemon, core);

	if (id == METHOD_OPERATION_GET)
		on_look(d);
	if (methods[id].answer != ANSWER_OPERATION)
		return;
	record_clear(&operation_record, &core->operation);
	record_init(&operation_record, &core->operation);
	str_set(&core->operation.id, SAMPLE_OPERATION);
	core->operation.type = id == METHOD_VOLUME_CREATE ? OPERATION_CREATE : OPERATION_ATTACH;
	str_set(&core->operation.volume_id, SAMPLE_UUID);
	core->operation.created_at = 1000;
	d->turn = 0;
	d->fails = strstr(core->args.data, FAILING_UUID) != NULL;
	tell(d, EVENT_OPERATION_STARTED);
}

static void on_turn(struct loop_hook *hook)
{
	struct paper_daemon *d = container_of(hook, struct paper_daemon, hook);

	if (d->ready_fd >= 0 && bus_is_ready(d->bus)) {
		if (write(d->ready_fd, "r", 1) != 1)
			_exit(1);
		d->ready_fd = -1;
	}
}

static void paper_daemon_run(int ready_fd)
{
	struct paper_daemon d = { .hook.prepare = on_turn, .ready_fd = ready_fd };
	struct loop *loop = loop_new();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fake_core_init(&d.core, loop);
	d.core.on_call = on_call;
	d.core.volume_count = 2;
	d.core.export_count = 1;
	d.bus = bus_open(loop, &d.core, &(struct bus_options){ .address = bus_daemon.address });
	loop_hook_add(loop, &d.hook);
	loop_run(loop);
}

static int start(void **state)
{
	int ready[2];
	char c;

	bus_daemon_init(&bus_daemon);
	bus_daemon_start(&bus_daemon);
	assert_int_equal(pipe(ready), 0);
	server = fork();
	assert_true(server >= 0);
	if (server == 0)
		paper_daemon_run(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return 0;
}

static int stop(void **state)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	bus_daemon_fini(&bus_daemon);
	return 0;
}

/* --- running it --- */

struct outcome {
	int code;
	char *out, *err;
};

static void outcome_clear(struct outcome *outcome)
{
	free(outcome->out);
	free(outcome->err);
}
#define _cleanup_outcome_ _cleanup_(outcome_clear)

static char *read_temporary(FILE *file)
{
	struct buf text = BUF_NULL;
	char chunk[4096];
	size_t got;

	rewind(file);
	while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_add(&text, chunk, got);
	fclose(file);
	return buf_take(&text);
}

/* arguments: words separated by single blanks. */
static struct outcome run_at(const char *address, const char *arguments)
{
	_cleanup_free_ char *words = xstrdup(arguments);
	FILE *out = tmpfile(), *err = tmpfile();
	char *argv[24] = { strdup("volumectl"), strdup("--address"), strdup(address) };
	size_t argc = 3;
	int status;
	pid_t pid;

	for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
		argv[argc++] = strdup(word);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		execv(program, argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	while (argc > 0)
		free(argv[--argc]);
	return (struct outcome){ WEXITSTATUS(status), read_temporary(out), read_temporary(err) };
}

static struct outcome run(const char *arguments)
{
	return run_at(bus_daemon.address, arguments);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not hold '%s'", text, part);
}

static void assert_worked(const struct outcome *outcome)
{
	if (outcome->code != 0)
		fail_msg("exit code %d: %s", outcome->code, outcome->err);
}

/* --- the tests --- */

static void test_attach_waits(void **state)
{
	_cleanup_outcome_ struct outcome o = run("attach " SAMPLE_UUID);

	assert_worked(&o);
	assert_string_equal(o.out, "/dev/vdb\n");
	/* Not a terminal: a line a step. */
	assert_string_equal(o.err, "attach " SAMPLE_OPERATION ": executing, claim\n"
				   "attach " SAMPLE_OPERATION ": executing, ask-cloud\n"
				   "attach " SAMPLE_OPERATION ": executing, await-device\n"
				   "attached\n");
}

static void test_json_of_a_change(void **state)
{
	_cleanup_outcome_ struct outcome o = run("attach " SAMPLE_UUID " --json --vm " OTHER_UUID);
	_cleanup_json_ struct json *operation = json_parse(o.out, strlen(o.out), NULL);

	assert_worked(&o);
	assert_string_equal(json_text(json_get(operation, "status")), "completed");
	assert_string_equal(json_text(json_get(json_get(operation, "response"), "device_path")),
			    "/dev/vdb");
}

static void test_no_wait(void **state)
{
	_cleanup_outcome_ struct outcome o = run("attach --no-wait " SAMPLE_UUID);
	_cleanup_outcome_ struct outcome waited = run("wait " SAMPLE_OPERATION " --timeout 5min");

	assert_worked(&o);
	assert_string_equal(o.out, SAMPLE_OPERATION "\n");
	assert_worked(&waited);
	assert_string_equal(waited.out, "/dev/vdb\n");
}

static void test_failure(void **state)
{
	_cleanup_outcome_ struct outcome o = run("attach " FAILING_UUID);

	assert_int_equal(o.code, err_view(ERR_CONFLICT)->exit_code);
	assert_string_equal(o.out, "");
	assert_has(o.err, "volumectl: the device is mounted on /srv\n");
}

static void test_create(void **state)
{
	_cleanup_outcome_ struct outcome o =
		run("create --name data --size 5GiB --offering " SAMPLE_UUID " --zone " SAMPLE_UUID
		    " --metadata {\"a\":[1]}");

	assert_worked(&o);
	assert_string_equal(o.out, SAMPLE_UUID "\n");
}

static void test_resize(void **state)
{
	_cleanup_outcome_ struct outcome o = run("resize " SAMPLE_UUID " 6GiB --allow-shrink");

	assert_worked(&o);
}

static void test_every_reading_command(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		_cleanup_buf_ struct buf words = BUF_NULL;

		if (methods[i].answer == ANSWER_OPERATION || methods[i].surfaces == SURFACES_BUS)
			continue;
		buf_add_text(&words, methods[i].command);
		for (size_t j = 0; j < methods[i].args->count; j++) {
			const struct field *field = &methods[i].args->fields[j];

			if (field->flags & FIELD_REQUIRED)
				buf_printf(&words, "%s%s",
					   streq(field->name, "as") ? " --as " : " ", SAMPLE_UUID);
		}
		if (i == METHOD_OPERATION_CANCEL)
			buf_add_text(&words, " --no-wait");
		{
			_cleanup_outcome_ struct outcome plain = run(words.data);

			assert_worked(&plain);
			assert_true(*plain.out);
		}
		buf_add_text(&words, " --json");
		{
			_cleanup_outcome_ struct outcome o = run(words.data);
			_cleanup_json_ struct json *json = json_parse(o.out, strlen(o.out), NULL);

			assert_worked(&o);
			assert_int_equal(json_kind(json), methods[i].answer == ANSWER_MANY
								  ? JSON_ARRAY
								  : JSON_OBJECT);
		}
	}
}

static void test_table(void **state)
{
	_cleanup_outcome_ struct outcome o = run("list --limit 2");

	assert_worked(&o);
	assert_has(o.out, "VOLUME ID                             NAME  VM ID");
	assert_has(o.out, SAMPLE_UUID "  text  " SAMPLE_UUID);
}

static void test_exports(void **state)
{
	_cleanup_outcome_ struct outcome made =
		run("export " SAMPLE_UUID " --read-only --disk-number 1");
	_cleanup_outcome_ struct outcome json = run("export --json " SAMPLE_UUID);
	_cleanup_outcome_ struct outcome shown = run("export-show " SAMPLE_UUID);
	_cleanup_outcome_ struct outcome list = run("exports --status active");
	_cleanup_outcome_ struct outcome gone = run("unexport --force " SAMPLE_UUID);
	_cleanup_json_ struct json *record = json_parse(json.out, strlen(json.out), NULL);

	assert_worked(&made);
	assert_has(made.out, "volume_id                    " SAMPLE_UUID "\n");
	assert_has(made.out, "status                       active\n");
	assert_worked(&json);
	assert_string_equal(json_text(json_get(record, "volume_id")), SAMPLE_UUID);
	assert_worked(&shown);
	assert_has(shown.out, "clients.number               1\n");
	assert_worked(&list);
	assert_has(list.out,
		   "VOLUME ID                             EXPORT NAME  DEVICE PATH  PORT  STATUS");
	assert_worked(&gone);
	assert_has(gone.out, "message                      text\n");
}

/* Nobody says when the watcher has begun to hear: changes go on until it has told of one. */
static void test_watch(void **state)
{
	_cleanup_buf_ struct buf heard = BUF_NULL;
	char chunk[4096];
	int out[2];
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		execl(program, "volumectl", "--address", bus_daemon.address, "watch", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	for (int i = 0; i < 200 && !strstr(str_or(heard.data, ""), "OperationCompleted"); i++) {
		_cleanup_outcome_ struct outcome o = run("attach " SAMPLE_UUID);

		assert_worked(&o);
		while ((got = read(out[0], chunk, sizeof(chunk))) > 0)
			buf_add(&heard, chunk, (size_t)got);
	}
	kill(pid, SIGINT);
	waitpid(pid, NULL, 0);
	close(out[0]);
	assert_has(str_or(heard.data, ""), "OperationCompleted " SAMPLE_OPERATION
					   " attach completed " SAMPLE_UUID " /dev/vdb\n");
}

static void assert_usage(const char *arguments, const char *part)
{
	_cleanup_outcome_ struct outcome o = run(arguments);

	assert_int_equal(o.code, 2);
	assert_string_equal(o.out, "");
	assert_has(o.err, part);
}

static void test_wrong_usage(void **state)
{
	assert_usage("atach x", "did you mean 'attach'?");
	assert_usage("frobnicate", "see 'volumectl --help'");
	assert_usage("attach", "attach needs VOLUME");
	assert_usage("show " SAMPLE_UUID " more", "the argument 'more' is one too many");
	assert_usage("attach " SAMPLE_UUID " --vm-name x", "--vm-name"); /* only REST knows it */
	assert_usage("create --name n", "create needs --offering");
	assert_usage("create --name n --size 5parsec", "size");
	assert_usage("export", "export needs VOLUME");
	assert_usage("export --volume " SAMPLE_UUID, "--volume");
	assert_usage("resize " SAMPLE_UUID, "resize needs SIZE");
	assert_usage("resize " SAMPLE_UUID " 1MiB", "size must be at least 1 GiB");
	assert_usage("resize " SAMPLE_UUID " --size 6GiB", "--size"); /* it has its place */
	assert_usage("list --limit", "a value is missing after '--limit'");
	assert_usage("list --timeout soon", "--timeout");
	assert_usage("--frob list", "--frob");
	assert_usage("wait", "wait needs one operation");
}

static void test_help(void **state)
{
	_cleanup_outcome_ struct outcome all = run("--help");
	_cleanup_outcome_ struct outcome one = run("help attach");
	_cleanup_outcome_ struct outcome same = run("attach --help");
	_cleanup_outcome_ struct outcome dry = run("help exports-cleanup");
	_cleanup_outcome_ struct outcome version = run("--version");

	assert_worked(&all);
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].surfaces == SURFACES_ALL)
			assert_has(all.out, methods[i].summary);
	}
	assert_worked(&one);
	assert_has(one.out,
		   "Usage: volumectl attach VOLUME... [--vm VM] [--dry-run] [--request-id TEXT]\n");
	assert_string_equal(one.out, same.out);
	/* What is on by itself: help says how to turn it off. */
	assert_worked(&dry);
	assert_has(
		dry.out,
		"--dry-run=yes|no       Only report orphaned exports; remove nothing. Without it, yes.\n");
	assert_worked(&version);
	assert_has(version.out, "volumectl ");
}

static void test_no_bus(void **state)
{
	_cleanup_outcome_ struct outcome o = run_at("unix:path=/nonexistent/bus", "list");

	assert_int_equal(o.code, err_view(ERR_UNAVAILABLE)->exit_code);
	assert_has(o.err, "is the D-Bus system bus running?");
}

static void test_no_daemon(void **state)
{
	struct bus_daemon empty;

	bus_daemon_init(&empty);
	bus_daemon_start(&empty);
	{
		_cleanup_outcome_ struct outcome o = run_at(empty.address, "list");

		assert_int_equal(o.code, err_view(ERR_UNAVAILABLE)->exit_code);
		assert_has(o.err, "systemctl start volume-daemon");
	}
	bus_daemon_fini(&empty);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach_waits),
		cmocka_unit_test(test_json_of_a_change),
		cmocka_unit_test(test_no_wait),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_every_reading_command),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_wrong_usage),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_no_bus),
		cmocka_unit_test(test_no_daemon),
		cmocka_unit_test(test_exports),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s PATH-OF-VOLUMECTL\n", argv[0]);
		return 2;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, start, stop);
}
