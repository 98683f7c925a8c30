/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of an engine that the daemon starts itself: when it is waited for, when it is left
 * alone, when it is given up, and what it is told before it serves. Neither process nor time is
 * real, so the seconds of patience cost none.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fake_process.h"
#include "fake_qmp.h"
#include "io/address.h"
#include "nbd/exporter.h"
#include "tree.h"

#define STEP_MS 20
#define GREETING_MS 10000
#define PAUSE_MS 1000
#define PID_FILE "run/qemu-storage-daemon.pid"

static const char certificate[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBdTCCARugAwIBAgIUH/qYwiHCu/VibTtwXqAO0O5QJ9kwCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMzAyMjU5NTNaGA8yMTI2MTEwNjIyNTk1\n"
	"M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLjb\n"
	"LpeFIDujEHft7dec5WOb8s89BHhiij0TXHLKQ+vXwoqm1VgJa3uSHfzNE19B7zTP\n"
	"8O3wUtLuQhnLXPraLeqjUzBRMB0GA1UdDgQWBBRpLVQMGKaAv/Ns7F9BV37NQzG9\n"
	"mTAfBgNVHSMEGDAWgBRpLVQMGKaAv/Ns7F9BV37NQzG9mTAPBgNVHRMBAf8EBTAD\n"
	"AQH/MAoGCCqGSM49BAMCA0gAMEUCIGX9OpYul2vVbQXNSaE/AjDjGS/LbddlwmVq\n"
	"l4p88pMJAiEA/uKKV3W2fDH6mrg4rtf5h+TaGt+bhYX5vYEUq7tehZ4=\n"
	"-----END CERTIFICATE-----\n";
static const char private_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgu6SqaJxxdUsD9vtc\n"
	"ssuHnLdDtyNmD4TPWE2x8EuxaqShRANCAAS42y6XhSA7oxB37e3XnOVjm/LPPQR4\n"
	"Yoo9E1xyykPr18KKptVYCWt7kh38zRNfQe80z/Dt8FLS7kIZy1z62i3q\n"
	"-----END PRIVATE KEY-----\n";

struct scene {
	struct tree tree;
	struct loop *loop;
	struct fake_qmp fake;
	bool listens; /* the fake */
	char *run, *proc, *socket, *tls;
	struct exporter *exporter;
};

static void on_lost(void *arg)
{
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);
	_cleanup_free_ char *key = NULL;

	clock_test_start(1000000, 1790000000000);
	fake_process_reset();
	tree_make(&scene->tree);
	tree_folder(&scene->tree, "run");
	tree_folder(&scene->tree, "proc/net");
	tree_write(&scene->tree, "tls/ca-cert.pem", certificate);
	tree_write(&scene->tree, "tls/server-cert.pem", certificate);
	tree_write(&scene->tree, "tls/server-key.pem", private_key);
	key = tree_path(&scene->tree, "tls/server-key.pem");
	assert_int_equal(chmod(key, 0600), 0);
	scene->run = tree_path(&scene->tree, "run");
	scene->proc = tree_path(&scene->tree, "proc");
	scene->socket = tree_path(&scene->tree, "run/qmp.sock");
	scene->tls = tree_path(&scene->tree, "tls");
	scene->loop = loop_new();
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	exporter_free(scene->exporter);
	if (scene->listens)
		fake_qmp_close(&scene->fake);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene->run);
	free(scene->proc);
	free(scene->socket);
	free(scene->tls);
	free(scene);
	return 0;
}

static void pass(struct scene *scene, int64_t ms)
{
	for (int64_t passed = 0; passed <= ms; passed += STEP_MS) {
		/* Both ends of the socket turn in this loop. */
		for (int i = 0; i < 20; i++)
			loop_turn(scene->loop);
		clock_test_advance(STEP_MS);
	}
}

static void open_exporter_on(struct scene *scene, const char *listen, const char *tls_dir)
{
	const struct exporter_options options = {
		.engine = EXPORT_ENGINE_QEMU,
		.run_dir = scene->run,
		.listen = listen,
		.tls_dir = tls_dir,
		.proc_root = scene->proc,
		.sysfs_root = "/sys",
		.timeout_ms = 20000,
		.lost = on_lost,
		.arg = scene,
	};
	struct err err = { 0 };

	scene->exporter = exporter_new(scene->loop, &options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(scene->exporter);
	pass(scene, 0);
	assert_int_equal(fake_process.starts, 1);
}

static void open_exporter(struct scene *scene, const char *tls_dir)
{
	open_exporter_on(scene, "127.0.0.1:10809", tls_dir);
}

/* The process listens, but is not set up yet. */
static void listen_there(struct scene *scene)
{
	fake_qmp_open(&scene->fake, scene->loop, scene->socket);
	scene->listens = true;
}

static bool is_up(const struct scene *scene)
{
	struct export_health health;

	exporter_health(scene->exporter, &health);
	return health.ok;
}

static void assert_reason(const struct scene *scene, const char *text)
{
	struct export_health health;

	exporter_health(scene->exporter, &health);
	assert_false(health.ok);
	if (!strstr(health.reason, text))
		fail_msg("%s", health.reason);
}

static void bring_up(struct scene *scene, const char *tls_dir)
{
	open_exporter(scene, tls_dir);
	listen_there(scene);
	tree_write(&scene->tree, PID_FILE, "4711\n");
	pass(scene, 100);
	assert_true(is_up(scene));
}

/* A connection made before the process is set up may never be greeted. */
static void it_is_reached_when_it_is_set_up(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, NULL);
	listen_there(scene);
	pass(scene, 5000);
	assert_null(scene->fake.stream);
	tree_write(&scene->tree, PID_FILE, "4711\n");
	pass(scene, 100);
	assert_true(is_up(scene));
	assert_int_equal(fake_process.starts, 1);
}

/* It serves nobody yet, so another one may do better. */
static void one_that_never_greets_is_given_up(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, NULL);
	listen_there(scene);
	scene->fake.fault_command = "greeting";
	scene->fake.fault = FAULT_HANG;
	tree_write(&scene->tree, PID_FILE, "4711\n");
	pass(scene, GREETING_MS + 100);
	assert_reason(scene, "does not answer");
	assert_int_equal(fake_process.ends, 1);
}

/* It may serve clients, though it does not answer us. */
static void one_that_was_up_is_left_alone(void **state)
{
	struct scene *scene = *state;

	bring_up(scene, NULL);
	scene->fake.fault_command = "greeting";
	scene->fake.fault = FAULT_HANG;
	fake_qmp_hang_up(&scene->fake);
	pass(scene, PAUSE_MS + GREETING_MS + 100);
	assert_reason(scene, "does not answer");
	assert_int_equal(fake_process.ends, 0);
	scene->fake.fault = FAULT_NONE;
	pass(scene, 10 * PAUSE_MS);
	assert_true(is_up(scene));
	assert_int_equal(fake_process.starts, 1);
}

/* Not even far enough to be reached: the next one is started, nobody waits for the first any
 * more. */
static void one_that_ends_at_once_is_replaced(void **state)
{
	struct scene *scene = *state;

	open_exporter(scene, NULL);
	fake_process_die("ended with status 1: no such option");
	assert_reason(scene, "no such option");
	pass(scene, PAUSE_MS + 100);
	assert_int_equal(fake_process.starts, 2);
}

static void it_is_given_the_certificates_first(void **state)
{
	struct scene *scene = *state;

	bring_up(scene, scene->tls);
	assert_string_equal(scene->fake.tls_dir, scene->tls);
	assert_string_equal(scene->fake.server_tls, scene->fake.tls_name);
	assert_false(scene->fake.tls_verifies);
}

static void it_is_given_the_address(void **state)
{
	struct scene *scene = *state;

	bring_up(scene, NULL);
	assert_string_equal(scene->fake.server_address, "127.0.0.1:10809");
	assert_string_equal(scene->fake.server_tls, "");
}

static int listen_on(const char *text)
{
	struct address address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(address_parse(text, &address, NULL), 0);
	assert_int_equal(bind(fd, &address.sa.any, address.length), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* The port was free when it was chosen. */
static void it_is_given_another_port(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *taken = NULL, *other = NULL;
	_cleanup_close_ int fd = -1;

	open_exporter_on(scene, "127.0.0.1:0", NULL);
	taken = xasprintf("127.0.0.1:%d", export_port(scene->exporter));
	fd = listen_on(taken);
	listen_there(scene);
	scene->fake.taken = taken;
	tree_write(&scene->tree, PID_FILE, "4711\n");
	pass(scene, 100);
	assert_true(is_up(scene));
	other = xasprintf("127.0.0.1:%d", export_port(scene->exporter));
	assert_string_not_equal(other, taken);
	assert_string_equal(scene->fake.server_address, other);
	assert_int_equal(fake_process.starts, 1);
	assert_int_equal(fake_process.ends, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_reached_when_it_is_set_up),    T(one_that_never_greets_is_given_up),
		T(one_that_was_up_is_left_alone),      T(one_that_ends_at_once_is_replaced),
		T(it_is_given_the_certificates_first), T(it_is_given_the_address),
		T(it_is_given_another_port),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
