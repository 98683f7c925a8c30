/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Real programs: how their end is told, how they are ended, and that nothing of ours reaches them.
 * Each is a line for /bin/sh, whose $0 is a word of the test. leftovers.c sees whether a process or
 * a descriptor stays.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/process.h"
#include "lack.h"
#include "tree.h"

static struct loop *loop;
static struct tree tree;
static char end[1024]; /* how the program ended, "" while it runs */

static void on_ended(void *arg, const char *how)
{
	assert_string_equal(end, "");
	snprintf(end, sizeof(end), "%s", how);
	loop_stop(loop);
}

static int set_up(void **state)
{
	loop = loop_new();
	tree_make(&tree);
	end[0] = '\0';
	return 0;
}

static int set_up_test_time(void **state)
{
	clock_test_start(1000, 0);
	return set_up(state);
}

static int tear_down(void **state)
{
	loop = loop_free(loop);
	tree_destroy(&tree);
	return 0;
}

static struct process *start(const char *line, const char *word)
{
	const char *const argv[] = { "/bin/sh", "-c", line, word, NULL };
	struct err err = { 0 };
	struct process *process = process_start(loop, argv, on_ended, NULL, &err);

	if (!process)
		fail_msg("%s", err.text);
	return process;
}

static void assert_ends(const char *line, const char *word, const char *how)
{
	struct process *process = start(line, word);

	end[0] = '\0';
	loop_run(loop);
	assert_string_equal(end, how);
	assert_int_equal(process_pid(process), 0);
	process_free(process);
}

/* ---- the end ---- */

static void the_end_is_told_with_the_last_words(void **state)
{
	assert_ends("exit 0", "", "ended with status 0");
	assert_ends("echo first; echo last >&2; exit 3", "", "ended with status 3: last");
	/* A last line needs no end, and an empty one says nothing. */
	assert_ends("echo; printf last; exit 1", "", "ended with status 1: last");
	assert_ends("kill -KILL $$", "", "was ended by signal 9 (Killed)");
}

static void a_long_line_is_cut(void **state)
{
	assert_ends("printf '%0512d%s' 0 rest; exit 1", "", "ended with status 1: rest");
}

/* It may not go on unwatched: its end would never be told. */
static void a_program_that_cannot_be_watched_is_ended(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "exec sleep 1000", NULL };
	struct err err = { 0 };
	struct lack lack;

	for (int left = 0; left < 3; left++) {
		err_clear(&err);
		lack_of_descriptors(&lack, left);
		assert_null(process_start(loop, argv, on_ended, NULL, &err));
		lack_end(&lack);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_non_null(strstr(err.text, "Too many open files"));
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_string_equal(end, "");
}

static void a_program_that_is_asked_to_end_does(void **state)
{
	struct process *process = start("exec sleep 1000", "");

	process_end(process);
	process_end(process); /* once more: no change */
	loop_run(loop);
	assert_string_equal(end, "was ended by signal 15 (Terminated)");
	process_end(process);
	process_free(process);
}

/* True when the program writes a line into a pipe, which says that it runs. */
static bool speaks(const char *pipe)
{
	struct pollfd line = { .events = POLLIN };

	line.fd = open(pipe, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	assert_true(line.fd >= 0);
	poll(&line, 1, 10000);
	close(line.fd);
	return line.revents & POLLIN;
}

static void a_program_that_does_not_end_is_killed(void **state)
{
	_cleanup_free_ char *first = tree_path(&tree, "pipe"), *second = tree_path(&tree, "pipe2");
	struct process *process;

	assert_int_equal(mkfifo(first, 0600), 0);
	assert_int_equal(mkfifo(second, 0600), 0);
	process = start("trap '' TERM; echo >\"$0\"; echo >\"$0\"2; exec sleep 1000", first);
	assert_true(speaks(first));
	process_end(process);
	clock_test_advance(2999);
	loop_turn(loop);
	assert_true(speaks(second));
	clock_test_advance(1);
	while (!end[0])
		loop_turn(loop);
	assert_string_equal(end, "was ended by signal 9 (Killed)");
	process_free(process);
}

/* The program gets the chance to tidy up. */
static void free_ends_the_program(void **state)
{
	_cleanup_free_ char *pipe = tree_path(&tree, "pipe"), *tidy = tree_path(&tree, "pipe.tidy");
	struct process *process;
	pid_t pid;

	assert_int_equal(mkfifo(pipe, 0600), 0);
	process =
		start("sleep 1000 & trap 'kill $!; : >\"$0\".tidy; exit' TERM; echo >\"$0\"; wait",
		      pipe);
	pid = process_pid(process);
	assert_true(speaks(pipe));
	assert_null(process_free(process));
	assert_int_equal(access(tidy, F_OK), 0);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_string_equal(end, "");
	assert_null(process_free(NULL));
}

static void a_forgotten_program_goes_on(void **state)
{
	struct process *process = start("exec sleep 1000", "");
	pid_t pid = process_pid(process);
	int status;

	assert_null(process_forget(process));
	/* Only the first signal counts: a signal of process_forget() would show here. */
	kill(pid, SIGUSR1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGUSR1);
	assert_string_equal(end, "");
	assert_null(process_forget(NULL));
}

/* ---- a program of an earlier run ---- */

static void an_adopted_program_is_seen_to_end(void **state)
{
	struct err err = { 0 };
	struct process *process;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(1);
	}
	process = process_adopt(loop, pid, on_ended, NULL, &err);
	assert_non_null(process);
	assert_int_equal(process_pid(process), pid);
	process_end(process);
	loop_run(loop);
	assert_string_equal(end, "ended");
	process_free(process);
	/* Its status is for its parent. */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_program_that_is_gone_is_not_adopted(void **state)
{
	struct err err = { 0 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_null(process_adopt(loop, pid, on_ended, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "cannot be watched"));
}

/* ---- the start ---- */

static void a_program_starts_with_nothing_of_ours(void **state)
{
	int leaked = open("/dev/null", O_RDONLY); /* no O_CLOEXEC, as in a careless library */
	_cleanup_free_ char *number = xasprintf("%d", leaked);
	sigset_t blocked, before;

	assert_ends("test ! -e /proc/$$/fd/$0", number, "ended with status 0");
	close(leaked);
	assert_ends("test \"$(readlink /proc/$$/fd/0)\" = /dev/null", "", "ended with status 0");
	/* A group of its own: a Ctrl-C for the daemon is none for the program. */
	assert_ends("read -r pid name state parent group rest </proc/$$/stat; test $group = $$", "",
		    "ended with status 0");
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	assert_ends("kill -TERM $$; exit 0", "", "was ended by signal 15 (Terminated)");
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void a_program_that_is_not_there_does_not_start(void **state)
{
	const char *const argv[] = { "/nowhere/program", NULL };
	struct err err = { 0 };

	assert_null(process_start(loop, argv, on_ended, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.text,
			    "/nowhere/program cannot be started: No such file or directory");
}

static void a_program_is_found_in_the_path(void **state)
{
	_cleanup_free_ char *path = xasprintf("bin:/nowhere:%s/a:%s/b", tree.root, tree.root);
	_cleanup_free_ char *wanted = tree_path(&tree, "b/tool"), *found = NULL;
	_cleanup_free_ char *before = xstrdup(getenv("PATH"));

	tree_write(&tree, "a/tool", "not executable");
	tree_write(&tree, "b/tool", "#!/bin/sh\n");
	assert_int_equal(chmod(wanted, 0700), 0);
	setenv("PATH", path, true);
	found = process_find("tool");
	assert_string_equal(found, wanted);
	assert_null(process_find("other"));
	/* A relative folder would be another one in another working directory. */
	assert_int_equal(chdir(tree.root), 0);
	setenv("PATH", "b", true);
	assert_null(process_find("tool"));
	assert_int_equal(chdir("/"), 0);
	setenv("PATH", before, true);
}

/* ---- the log ---- */

static void a_flood_of_words_does_not_fill_the_log(void **state)
{
	_cleanup_free_ char *path = tree_path(&tree, "log"), *log = NULL;
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), saved = dup(STDERR_FILENO);
	unsigned lines = 0;

	dup2(file, STDERR_FILENO);
	assert_ends("for i in $(seq 100); do echo word$i; done; exit 1", "",
		    "ended with status 1: word100");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(file);
	log = read_file_at(AT_FDCWD, path, 65536, NULL);
	assert_non_null(log);
	for (const char *at = log; (at = strstr(at, "sh: word")); at++)
		lines++;
	assert_int_equal(lines, 60);
	assert_non_null(strstr(log, "sh: writes more than 60 lines a minute"));
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
/* A test clock stays to the end of the program: its test is the last one. */
RUN_TESTS(T(the_end_is_told_with_the_last_words), T(a_long_line_is_cut),
	  T(a_program_that_cannot_be_watched_is_ended), T(a_program_that_is_asked_to_end_does),
	  T(free_ends_the_program), T(a_forgotten_program_goes_on),
	  T(an_adopted_program_is_seen_to_end), T(a_program_that_is_gone_is_not_adopted),
	  T(a_program_starts_with_nothing_of_ours), T(a_program_that_is_not_there_does_not_start),
	  T(a_flood_of_words_does_not_fill_the_log), T(a_program_is_found_in_the_path),
	  cmocka_unit_test_setup_teardown(a_program_that_does_not_end_is_killed, set_up_test_time,
					  tear_down))
