/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exports through a qemu-storage-daemon in memory that can be good, refuse, hang, lie, talk
 * nonsense and die, at each command. Whatever it does, each question gets one answer, and what is
 * asked again afterwards works.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "fake_qmp.h"
#include "nbd/exporter.h"
#include "tree.h"

#define NAME "migration-vol-0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define OTHER "migration-vol-1c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define PATIENCE_MS 20000
#define NO_PATIENCE_MS 100

#define TCP_HEADING                                                                                \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
/* A client of 127.0.0.1:10809, one of another server, one that is gone, the first once more, and
 * its own end. */
#define CLIENT_LINES                                                                               \
	TCP_HEADING                                                                                \
	"   0: 0100007F:2A39 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n"      \
	"   1: 0100007F:2A39 0100007F:A119 01 00000000:00000000 00:00000000 00000000 0 0 2\n"      \
	"   2: 0100007F:1F40 0100007F:A11A 01 00000000:00000000 00:00000000 00000000 0 0 3\n"      \
	"   3: 0100007F:2A39 0100007F:A11B 06 00000000:00000000 00:00000000 00000000 0 0 0\n"      \
	"   4: 0100007F:2A39 0100007F:A119 01 00000000:00000000 00:00000000 00000000 0 0 2\n"      \
	"   5: 0100007F:A119 0100007F:2A39 01 00000000:00000000 00:00000000 00000000 0 0 4\n"

struct scene {
	struct tree tree;
	struct loop *loop;
	struct fake_qmp fake;
	char *socket, *proc, *run, *device, *other_device;
	char listen[32];
	struct exporter *exporter;
	int lost;
	bool wait_lost;

	struct loop_timer tick;

	bool answered;
	struct err err;
	size_t count;
	char name[128], path[256], client[64];
	bool read_only, certain;
	size_t clients;
};

static void on_lost(void *arg)
{
	struct scene *scene = arg;

	scene->lost++;
	if (scene->wait_lost)
		loop_stop(scene->loop);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	snprintf(scene->listen, sizeof(scene->listen), "127.0.0.1:10809");
	tree_make(&scene->tree);
	tree_folder(&scene->tree, "proc/net");
	tree_write(&scene->tree, "proc/net/tcp", TCP_HEADING);
	tree_write_bytes(&scene->tree, "disk", "", 0);
	tree_write_bytes(&scene->tree, "disk2", "", 0);
	scene->socket = tree_path(&scene->tree, "qmp.sock");
	scene->proc = tree_path(&scene->tree, "proc");
	scene->run = tree_path(&scene->tree, "run");
	scene->device = tree_path(&scene->tree, "disk");
	scene->other_device = tree_path(&scene->tree, "disk2");
	assert_int_equal(truncate(scene->device, 65536), 0);
	assert_int_equal(truncate(scene->other_device, 131072), 0);
	scene->loop = loop_new();
	fake_qmp_open(&scene->fake, scene->loop, scene->socket);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	exporter_free(scene->exporter);
	fake_qmp_close(&scene->fake);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene->socket);
	free(scene->proc);
	free(scene->run);
	free(scene->device);
	free(scene->other_device);
	free(scene);
	return 0;
}

static void open_exporter(struct scene *scene, int64_t timeout_ms)
{
	const struct exporter_options options = {
		.engine = EXPORT_ENGINE_QEMU,
		.run_dir = scene->run,
		.qmp_socket = scene->socket,
		.listen = scene->listen,
		.proc_root = scene->proc,
		.sysfs_root = "/sys",
		.timeout_ms = timeout_ms,
		.lost = on_lost,
		.arg = scene,
	};
	struct err err = { 0 };

	exporter_free(scene->exporter);
	scene->exporter = exporter_new(scene->loop, &options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(scene->exporter);
}

/* ---- questions ---- */

static void on_done(void *arg, const struct err *err)
{
	struct scene *scene = arg;

	assert_false(scene->answered);
	scene->answered = true;
	scene->err = *err;
	loop_stop(scene->loop);
}

static void on_listed(void *arg, const struct export_seen *items, size_t count,
		      const struct err *err)
{
	struct scene *scene = arg;

	scene->count = count;
	if (count > 0) {
		snprintf(scene->name, sizeof(scene->name), "%s", items[0].name);
		snprintf(scene->path, sizeof(scene->path), "%s", items[0].device_path);
		snprintf(scene->client, sizeof(scene->client), "%s",
			 items[0].client_count ? items[0].clients[0].address : "");
		scene->read_only = items[0].read_only;
		scene->certain = items[0].clients_certain;
		scene->clients = items[0].client_count;
	}
	on_done(arg, err);
}

static enum err_code await(struct scene *scene)
{
	/* Never inside the call that asked. */
	assert_false(scene->answered);
	loop_run(scene->loop);
	assert_true(scene->answered);
	scene->answered = false;
	return scene->err.code;
}

static enum err_code add_as(struct scene *scene, const char *name, const char *path, bool read_only)
{
	const struct export_item item = { name, path, read_only };

	export_add(scene->exporter, &item, on_done, scene);
	return await(scene);
}

static enum err_code add(struct scene *scene)
{
	return add_as(scene, NAME, scene->device, false);
}

static enum err_code remove_it(struct scene *scene, bool force)
{
	export_remove(scene->exporter, NAME, force, on_done, scene);
	return await(scene);
}

static enum err_code list(struct scene *scene)
{
	export_list(scene->exporter, on_listed, scene);
	return await(scene);
}

static void await_lost(struct scene *scene)
{
	scene->wait_lost = true;
	loop_run(scene->loop);
	scene->wait_lost = false;
}

/* ---- what works ---- */

static void test_add_list_remove(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->count, 1);
	assert_string_equal(scene->name, NAME);
	assert_string_equal(scene->path, scene->device);
	assert_false(scene->read_only);
	assert_true(scene->certain);
	assert_int_equal(scene->clients, 0);
	assert_int_equal(remove_it(scene, false), ERR_NONE);
	assert_int_equal(scene->fake.node_count, 0);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->count, 0);
	assert_int_equal(remove_it(scene, false), ERR_NONE);
}

static void test_twice_changes_nothing(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	assert_int_equal(add(scene), ERR_NONE);
	assert_int_equal(fake_qmp_heard(&scene->fake, "block-export-add"), 1);
	assert_int_equal(fake_qmp_heard(&scene->fake, "block-export-del"), 0);
}

static void test_replaced(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	assert_int_equal(add_as(scene, NAME, scene->other_device, false), ERR_NONE);
	assert_int_equal(add_as(scene, NAME, scene->other_device, true), ERR_NONE);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->count, 1);
	assert_string_equal(scene->path, scene->other_device);
	assert_true(scene->read_only);
	assert_int_equal(scene->fake.node_count, 1);
}

/* The path is the same, what stands under it is not. */
static void test_another_device_under_the_path(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	tree_move(&scene->tree, "disk", "old");
	tree_write_bytes(&scene->tree, "disk", "", 0);
	assert_int_equal(truncate(scene->device, 65536), 0);
	assert_int_equal(add(scene), ERR_NONE);
	assert_int_equal(fake_qmp_heard(&scene->fake, "block-export-add"), 2);
	assert_int_equal(scene->fake.export_count, 1);
}

static void test_in_use(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	fake_qmp_find(&scene->fake, NAME)->in_use = true;
	tree_write(&scene->tree, "proc/net/tcp", CLIENT_LINES);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->clients, 1);
	assert_false(scene->certain); /* the connection may have chosen no export */
	assert_string_equal(scene->client, "127.0.0.1:41241");
	assert_int_equal(remove_it(scene, false), ERR_CONFLICT);
	assert_string_equal(scene->err.text,
			    "export " NAME " is in use by NBD client 127.0.0.1:41241");
	/* Not even for another device. */
	assert_int_equal(add_as(scene, NAME, scene->other_device, false), ERR_CONFLICT);
	assert_int_equal(scene->fake.export_count, 1);
	/* With two exports nobody knows whose client it is, and that is said. */
	assert_int_equal(add_as(scene, OTHER, scene->other_device, false), ERR_NONE);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->count, 2);
	assert_int_equal(scene->clients, 1);
	assert_false(scene->certain);
	assert_int_equal(remove_it(scene, true), ERR_NONE);
	assert_null(fake_qmp_find(&scene->fake, NAME));
	assert_non_null(fake_qmp_find(&scene->fake, OTHER));
}

static void test_strays_are_swept(void **state)
{
	struct scene *scene = *state;
	struct fake_thing *nodes = scene->fake.nodes;

	strcpy(nodes[0].name, "vold-1-1");
	strcpy(nodes[1].name, "somebody-else");
	scene->fake.node_count = 2;
	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(list(scene), ERR_NONE);
	assert_int_equal(scene->fake.node_count, 1);
	assert_string_equal(nodes[0].name, "somebody-else");
}

static void test_bad_questions(void **state)
{
	struct scene *scene = *state;
	char many[300];

	memset(many, 'a', sizeof(many));
	many[sizeof(many) - 1] = '\0';
	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add_as(scene, "../x", scene->device, false), ERR_INVALID);
	assert_int_equal(add_as(scene, "", scene->device, false), ERR_INVALID);
	assert_int_equal(add_as(scene, many, scene->device, false), ERR_INVALID);
	assert_int_equal(add_as(scene, NAME, "/nowhere/at/all", false), ERR_NOT_FOUND);
	assert_int_equal(add_as(scene, NAME, "/", false), ERR_INVALID);
	assert_int_equal(fake_qmp_heard(&scene->fake, "blockdev-add"), 0);
}

/* ---- what goes wrong ---- */

/* What add() and then remove() use. */
static const char *const add_commands[] = { "query-block-exports", "query-named-block-nodes",
					    "blockdev-add", "block-export-add" };
static const char *const remove_commands[] = { "query-block-exports", "query-named-block-nodes",
					       "block-export-del", "blockdev-del" };

static void set_fault(struct scene *scene, const char *command, enum fake_fault fault)
{
	scene->fake.fault_command = command;
	scene->fake.fault = fault;
}

/* Whatever happened before, a good engine is used again. */
static void assert_well(struct scene *scene)
{
	struct export_health health;

	set_fault(scene, NULL, FAULT_NONE);
	if (!scene->fake.stream) {
		scene->lost = 0;
		fake_qmp_die(&scene->fake);
	}
	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_NONE);
	assert_non_null(fake_qmp_find(&scene->fake, NAME));
	assert_int_equal(scene->fake.node_count, 1);
	exporter_health(scene->exporter, &health);
	assert_true(health.ok);
	assert_int_equal(remove_it(scene, true), ERR_NONE);
	assert_int_equal(scene->fake.node_count, 0);
}

static void test_refused(void **state)
{
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_SIZE(add_commands); i++) {
		open_exporter(scene, PATIENCE_MS);
		set_fault(scene, add_commands[i], FAULT_REFUSE);
		assert_int_equal(add(scene), ERR_UNAVAILABLE);
		assert_non_null(strstr(scene->err.text, "it does not want to"));
		/* The same engine, and nothing of the attempt is left. */
		set_fault(scene, NULL, FAULT_NONE);
		assert_int_equal(list(scene), ERR_NONE);
		assert_int_equal(scene->fake.node_count, 0);
		assert_int_equal(add(scene), ERR_NONE);
		set_fault(scene, remove_commands[i], FAULT_REFUSE);
		if (i < 3)
			assert_int_equal(remove_it(scene, false), ERR_UNAVAILABLE);
		assert_well(scene);
	}
}

static void test_refused_without_a_reason(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	set_fault(scene, "block-export-add", FAULT_SULK);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	assert_non_null(strstr(scene->err.text, "no reason given"));
}

static void each_command(struct scene *scene, enum fake_fault fault, enum err_code expected,
			 int64_t timeout_ms)
{
	for (size_t i = 0; i < ARRAY_SIZE(add_commands); i++) {
		open_exporter(scene, timeout_ms);
		set_fault(scene, add_commands[i], fault);
		assert_int_equal(add(scene), expected);
		assert_well(scene);
		open_exporter(scene, timeout_ms);
		assert_int_equal(add(scene), ERR_NONE);
		set_fault(scene, remove_commands[i], fault);
		assert_int_equal(remove_it(scene, true), expected);
		assert_well(scene);
	}
}

static void test_hangs(void **state)
{
	each_command(*state, FAULT_HANG, ERR_TIMEOUT, NO_PATIENCE_MS);
}

static void test_nonsense(void **state)
{
	each_command(*state, FAULT_GARBAGE, ERR_UNAVAILABLE, PATIENCE_MS);
	each_command(*state, FAULT_ENDLESS, ERR_UNAVAILABLE, PATIENCE_MS);
}

/* As the real one does after a daemon was killed. */
static void test_owes_an_answer_to_somebody_else(void **state)
{
	struct scene *scene = *state;

	each_command(scene, FAULT_FOREIGN, ERR_NONE, PATIENCE_MS);
	set_fault(scene, "greeting", FAULT_FOREIGN);
	open_exporter(scene, PATIENCE_MS);
	assert_well(scene);
}

static void test_dies_in_the_middle(void **state)
{
	each_command(*state, FAULT_DIE, ERR_UNAVAILABLE, PATIENCE_MS);
}

static void test_lies(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, PATIENCE_MS);
	set_fault(scene, "block-export-add", FAULT_LIE);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	set_fault(scene, NULL, FAULT_NONE);
	assert_int_equal(add(scene), ERR_NONE);
	open_exporter(scene, NO_PATIENCE_MS);
	set_fault(scene, "block-export-del", FAULT_LIE);
	assert_int_equal(remove_it(scene, true), ERR_TIMEOUT);
	assert_well(scene);
}

static void test_greeting(void **state)
{
	struct scene *scene = *state;
	struct export_health health;

	set_fault(scene, "greeting", FAULT_GARBAGE);
	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	exporter_health(scene->exporter, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.reason, "makes no sense"));
	set_fault(scene, "greeting", FAULT_HANG);
	open_exporter(scene, NO_PATIENCE_MS);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	assert_well(scene);
}

/* A hanging engine is told in the health, and what comes late is taken well. */
static void test_answers_late(void **state)
{
	struct scene *scene = *state;
	struct export_health health;

	open_exporter(scene, NO_PATIENCE_MS);
	assert_int_equal(list(scene), ERR_NONE);
	set_fault(scene, "query-block-exports", FAULT_HANG);
	assert_int_equal(list(scene), ERR_TIMEOUT);
	assert_non_null(strstr(scene->err.text, "ms, asked for its exports; last seen: it "
						"answered another request "));
	assert_int_equal(list(scene), ERR_TIMEOUT);
	exporter_health(scene->exporter, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.reason, "does not answer"));
	set_fault(scene, NULL, FAULT_NONE);
	assert_int_equal(fake_qmp_answer_late(&scene->fake), 0);
	assert_int_equal(list(scene), ERR_NONE);
	exporter_health(scene->exporter, &health);
	assert_true(health.ok);
}

/* ---- its life ---- */

/* ---- a server that hangs ---- */

static int listen_in_silence(struct scene *scene)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	snprintf(scene->listen, sizeof(scene->listen), "127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

static void greet(int listener)
{
	static const char greeting[] = "NBDMAGICIHAVEOPT\0\3";
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_int_equal(write(fd, greeting, sizeof(greeting) - 1), sizeof(greeting) - 1);
	close(fd);
}

static void on_tick(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct scene, tick)->loop);
}

static void await_health(struct scene *scene, bool ok, struct export_health *health)
{
	scene->tick.fire = on_tick;
	for (exporter_health(scene->exporter, health); health->ok != ok;
	     exporter_health(scene->exporter, health)) {
		loop_timer_set(scene->loop, &scene->tick, 20);
		loop_run(scene->loop);
	}
}

static void test_hangs_without_a_sign(void **state)
{
	struct scene *scene = *state;
	int listener = listen_in_silence(scene);
	struct export_health health;

	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(list(scene), ERR_NONE);
	await_health(scene, true, &health);
	exporter_look(scene->exporter);
	await_health(scene, false, &health);
	assert_non_null(strstr(health.reason, "hangs or is frozen"));
	/* It goes on; its client of before has left. */
	exporter_look(scene->exporter);
	signal(SIGPIPE, SIG_IGN);
	greet(listener);
	greet(listener);
	await_health(scene, true, &health);
	close(listener);
}

static void test_lost(void **state)
{
	struct scene *scene = *state;
	struct export_health health;

	open_exporter(scene, PATIENCE_MS);
	await_lost(scene); /* the first one serves nothing, either */
	assert_int_equal(add(scene), ERR_NONE);
	/* The connection alone: the engine is the one of before. */
	fake_qmp_hang_up(&scene->fake);
	while (list(scene) != ERR_NONE)
		;
	assert_int_equal(scene->count, 1);
	assert_int_equal(scene->lost, 1);
	exporter_health(scene->exporter, &health);
	assert_true(health.ok);
	assert_int_equal(health.restarts, 0);
	/* somebody else's; what it has open is no stranger's all the same */
	assert_int_equal(health.pid, getpid());
}

static void test_nobody_there(void **state)
{
	struct scene *scene = *state;
	struct export_health health;

	fake_qmp_close(&scene->fake);
	open_exporter(scene, PATIENCE_MS);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	assert_non_null(strstr(scene->err.text, "start its unit"));
	exporter_health(scene->exporter, &health);
	assert_false(health.ok);
	fake_qmp_open(&scene->fake, scene->loop, scene->socket);
	await_lost(scene);
	assert_int_equal(add(scene), ERR_NONE);
}

static void test_cancelled(void **state)
{
	struct scene *scene = *state;
	const struct export_item item = { NAME, scene->device, false };

	open_exporter(scene, PATIENCE_MS);
	export_cancel(export_add(scene->exporter, &item, on_done, scene));
	assert_int_equal(list(scene), ERR_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(add_commands); i++) {
		unsigned heard = fake_qmp_heard(&scene->fake, add_commands[i]);
		struct export_call *call = export_add(scene->exporter, &item, on_done, scene);

		while (fake_qmp_heard(&scene->fake, add_commands[i]) == heard)
			loop_turn(scene->loop);
		export_cancel(call);
		assert_int_equal(remove_it(scene, false), ERR_NONE);
		assert_int_equal(scene->fake.export_count, 0);
		assert_int_equal(scene->fake.node_count, 0);
	}
	/* Also when the exporter goes. */
	export_add(scene->exporter, &item, on_done, scene);
	export_list(scene->exporter, on_listed, scene);
	loop_turn(scene->loop);
	scene->exporter = exporter_free(scene->exporter);
	assert_false(scene->answered);
}

static void test_options(void **state)
{
	struct scene *scene = *state;
	struct exporter_options options = {
		.engine = EXPORT_ENGINE_NONE,
		.run_dir = scene->run,
		.listen = "127.0.0.1:10809",
		.proc_root = scene->proc,
		.sysfs_root = "/sys",
		.timeout_ms = PATIENCE_MS,
	};
	static const char *const bad_addresses[] = {
		"localhost:10809",
		"127.0.0.1",
		":10809",
		"127.0.0.1:70000",
		"unix:x",
		"[::1:10809",
		"",
		/* Of other machines, without certificates of theirs. */
		"0.0.0.0:10809",
		"192.0.2.1:10809",
		"[::]:10809",
		"[2001:db8::1]:10809",
	};
	struct err err = { 0 };

	assert_null(exporter_new(scene->loop, &options, &err));
	assert_int_equal(err.code, ERR_INVALID);
	options.engine = EXPORT_ENGINE_QEMU;
	for (size_t i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
		options.listen = bad_addresses[i];
		assert_null(exporter_new(scene->loop, &options, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	options.listen = "unix:/tmp/x.sock";
	options.tls_dir = scene->run;
	assert_null(exporter_new(scene->loop, &options, &err));
	assert_non_null(strstr(err.text, "ca-cert.pem"));
}

/* No program: it is said which package has it, and everything else waits for that. */
static void test_not_installed(void **state)
{
	struct scene *scene = *state;
	struct exporter_options options = {
		.engine = EXPORT_ENGINE_QEMU,
		.run_dir = scene->run,
		.listen = "127.0.0.1:0",
		.proc_root = scene->proc,
		.sysfs_root = "/sys",
		.timeout_ms = PATIENCE_MS,
	};
	_cleanup_free_ char *path = xstrdup(getenv("PATH"));
	struct export_health health;
	struct err err = { 0 };

	setenv("PATH", "/nonexistent", true);
	scene->exporter = exporter_new(scene->loop, &options, &err);
	assert_non_null(scene->exporter);
	assert_int_equal(add(scene), ERR_UNAVAILABLE);
	assert_non_null(strstr(scene->err.text, "qemu-system-common"));
	exporter_health(scene->exporter, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.reason, "qemu-system-common"));
	setenv("PATH", path, true);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void uri_leads_to_the_export(void **state)
{
	static const struct {
		const char *listen, *uri;
	} rows[] = {
		{ "127.0.0.1:10809", "nbd://127.0.0.1:10809/" NAME },
		{ "[::1]:10810", "nbd://[::1]:10810/" NAME },
		{ "unix:/run/a b/n.sock", "nbd+unix:///" NAME "?socket=/run/a%20b/n.sock" },
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *uri = NULL;

		snprintf(scene->listen, sizeof(scene->listen), "%s", rows[i].listen);
		open_exporter(scene, NO_PATIENCE_MS);
		uri = export_uri(scene->exporter, NAME);
		assert_string_equal(uri, rows[i].uri);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_add_list_remove),
		T(test_twice_changes_nothing),
		T(test_replaced),
		T(test_another_device_under_the_path),
		T(test_in_use),
		T(test_strays_are_swept),
		T(test_bad_questions),
		T(test_refused),
		T(test_refused_without_a_reason),
		T(test_hangs),
		T(test_nonsense),
		T(test_owes_an_answer_to_somebody_else),
		T(test_dies_in_the_middle),
		T(test_lies),
		T(test_greeting),
		T(test_answers_late),
		T(test_hangs_without_a_sign),
		T(test_lost),
		T(uri_leads_to_the_export),
		T(test_nobody_there),
		T(test_cancelled),
		T(test_options),
		T(test_not_installed),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
