/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a test leaves behind is noticed: a child process runs a group of tests that leak, and this
 * one reads what it says.
 */

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void leaves_a_descriptor(void **state)
{
	assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void leaves_a_thread(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
	/* From here, since the thread may not have run yet when the test ends. */
	assert_int_equal(pthread_setname_np(thread, "lingering"), 0);
}

static void leaves_a_child(void **state)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The parent may have ended before that; then no signal comes. */
		if (getppid() != parent)
			_exit(0);
		wait_for_ever(NULL);
	}
}

/* It has ended, but nobody has asked how. */
static void leaves_a_zombie(void **state)
{
	pid_t pid = fork();
	siginfo_t info;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static int set_up_three(void **state)
{
	static int three = 3;

	*state = &three;
	return 0;
}

static int set_up_more(void **state)
{
	**(int **)state += 1;
	return 0;
}

static void leaves_nothing(void **state)
{
	pthread_t thread;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(**(int **)state, 4);
	close(fd);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

static int run_leaky_group(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(leaves_nothing, set_up_more),
		cmocka_unit_test(leaves_a_descriptor),
		cmocka_unit_test(leaves_a_thread),
		cmocka_unit_test(leaves_a_child),
		cmocka_unit_test(leaves_a_zombie),
	};

	return cmocka_run_group_tests(tests, set_up_three, NULL);
}

static int leak_in_teardown(void **state)
{
	return dup(STDERR_FILENO) < 0;
}

static int run_leaky_teardown(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup(leaves_nothing, set_up_more) };

	return cmocka_run_group_tests(tests, set_up_three, leak_in_teardown);
}

/* What the group printed, and in *failed how many failures it counted. */
static char *outcome(int (*run_group)(void), int *failed)
{
	struct buf said = BUF_NULL;
	char bytes[4096];
	ssize_t length;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		_exit(run_group());
	}
	close(ends[1]);
	while ((length = read(ends[0], bytes, sizeof(bytes))) > 0)
		buf_add(&said, bytes, (size_t)length);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	*failed = WEXITSTATUS(status);
	return buf_take(&said);
}

static void assert_said(const char *said, const char *text)
{
	if (!strstr(said, text))
		fail_msg("\"%s\" is not in: %s", text, said);
}

static void a_test_that_leaks_fails(void **state)
{
	int failed;
	_cleanup_free_ char *said = outcome(run_leaky_group, &failed);

	assert_said(said, "leaves_a_descriptor leaves descriptor");
	assert_said(said, ", /dev/null");
	assert_said(said, "leaves_a_thread leaves thread");
	assert_said(said, ", lingering");
	assert_said(said, "leaves_a_child leaves child");
	assert_said(said, "leaves_a_zombie leaves child");
	assert_null(strstr(said, "leaves_nothing leaves"));
	/* The four, and the group, which ends with all they left. */
	assert_int_equal(failed, 5);
}

static void a_group_that_leaks_fails(void **state)
{
	int failed;
	_cleanup_free_ char *said = outcome(run_leaky_teardown, &failed);

	assert_said(said, "tests leaves descriptor");
	assert_int_equal(failed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_test_that_leaks_fails),
		cmocka_unit_test(a_group_that_leaks_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
