/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a session waits for a statement that takes its time. */

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "fixture.h"
#include "store/mariadb/session.h"

static struct mariadb_session patient_session(struct fixture *f, struct mariadb_cluster *cluster)
{
	struct mariadb_session session = { .cluster = cluster, .patient = true };
	struct err err = { 0 };

	assert_int_equal(mariadb_url_parse(f->url, &cluster->url, &err), 0);
	assert_int_equal(mariadb_ready(&session, &err), 0);
	return session;
}

static void a_patient_session_waits(void **state)
{
	struct fixture *f = *state;
	struct mariadb_cluster cluster = { 0 };
	struct mariadb_session session = patient_session(f, &cluster);
	struct err err = { 0 };
	uint64_t number;

	assert_int_equal(mariadb_number(&session, "SELECT 7 + SLEEP(6)", &number, &err),
			 MARIADB_OK);
	assert_int_equal(number, 7);
	mariadb_close(&session);
	mariadb_url_clear(&cluster.url);
}

static void but_not_for_a_server_that_is_frozen(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = fixture_mariadb_text(f, "SELECT @@pid_file");
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, file, 100, NULL);
	struct mariadb_cluster cluster = { 0 };
	struct mariadb_session session = patient_session(f, &cluster);
	enum mariadb_fault fault;
	struct err err = { 0 };
	pid_t pid;

	pid = atoi(text);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	fault = mariadb_run(&session, "SELECT 1", &err);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(fault, MARIADB_AWAY);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "does not answer any more"));
	mariadb_close(&session);
	mariadb_url_clear(&cluster.url);
}

/* ---- several hosts ---- */

static void the_first_host_that_works_is_enough(void **state)
{
	struct fixture *f = *state;
	struct mariadb_cluster cluster = { 0 };
	struct mariadb_session session = { .cluster = &cluster };
	struct err err = { 0 };

	assert_int_equal(mariadb_url_parse(f->url, &cluster.url, &err), 0);
	cluster.url.hosts = xrealloc(cluster.url.hosts, 2 * sizeof(*cluster.url.hosts));
	cluster.url.hosts[1] = cluster.url.hosts[0];
	cluster.url.hosts[0] = (struct mariadb_host){ .name = xstrdup("127.0.0.1"), .port = 1 };
	cluster.url.host_count = 2;
	assert_int_equal(mariadb_ready(&session, &err), 0);
	assert_ok(err);
	assert_int_equal(session.host, 1);
	mariadb_close(&session);
	mariadb_url_clear(&cluster.url);
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		T(a_patient_session_waits),
		T(but_not_for_a_server_that_is_frozen),
		T(the_first_host_that_works_is_enough),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
