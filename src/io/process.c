/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A process is held by a pidfd. The pidfd becomes readable when the process ends, also if the
 * process is not our child, and a signal sent through the pidfd can never reach a later process
 * with the same number.
 *
 * Its output comes through a pipe, line by line. A faulty program could fill our log with output,
 * so the number of lines a minute is limited; the last line is kept, because it mostly says why the
 * program ended. If the daemon dies first, the program gets EPIPE for its output and goes on (both
 * engines ignore SIGPIPE).
 */

#include "io/process.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"

#define END_MS 3000    /* from SIGTERM to SIGKILL */
#define KILLED_MS 1000 /* from SIGKILL to giving up: the process hangs in the kernel */
#define LINE_SIZE 512  /* the rest of a longer line is a line of its own */
#define LINES_A_MINUTE 60

struct process {
	struct loop *loop;
	process_ended_fn ended;
	void *arg;
	pid_t pid;
	int pidfd;
	bool is_child;
	struct event *end_event;
	struct loop_timer kill_timer;
	char *name; /* for the log */

	/* The program's output. */
	int output_fd; /* -1: no output comes (any more) */
	struct event *output_event;
	char line[LINE_SIZE + 1];
	size_t line_length;
	char last[LINE_SIZE + 1];
	int64_t minute_ms; /* when this minute began */
	unsigned lines;    /* in that minute */
};

/* ---- output ---- */

static void say_line(struct process *process)
{
	int64_t now = clock_mono_ms();

	process->line[process->line_length] = '\0';
	if (process->line_length == 0)
		return;
	process->line_length = 0;
	memcpy(process->last, process->line, sizeof(process->last));
	if (now - process->minute_ms >= 60000) {
		process->minute_ms = now;
		process->lines = 0;
	}
	if (++process->lines <= LINES_A_MINUTE)
		log_notice("%s: %s", process->name, process->line);
	else if (process->lines == LINES_A_MINUTE + 1)
		log_notice("%s: writes more than %d lines a minute; the rest is not logged",
			   process->name, LINES_A_MINUTE);
}

static void take_output(struct process *process, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == '\n' || process->line_length == LINE_SIZE)
			say_line(process);
		if (bytes[i] != '\n')
			process->line[process->line_length++] = bytes[i];
	}
}

static void close_output(struct process *process)
{
	if (process->output_fd < 0)
		return;
	say_line(process);
	event_free(process->output_event);
	close(process->output_fd);
	process->output_fd = -1;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = arg;
	char bytes[4096];
	ssize_t length = read(fd, bytes, sizeof(bytes));

	if (length > 0)
		take_output(process, bytes, (size_t)length);
	else if (length == 0 || (errno != EAGAIN && errno != EINTR))
		close_output(process);
}

/* Reads the rest of the pipe at the end; children of the program may keep it open. */
static void drain_output(struct process *process)
{
	for (int i = 0; i < 16 && process->output_fd >= 0; i++)
		on_output(process->output_fd, EV_READ, process);
	close_output(process);
}

/* ---- its end ---- */

static void describe_end(struct process *process, char *out, size_t size)
{
	siginfo_t info = { 0 };
	const char *last = process->last;

	if (!process->is_child ||
	    waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) < 0)
		snprintf(out, size, "ended");
	else if (info.si_code == CLD_EXITED)
		snprintf(out, size, "ended with status %d%s%s", info.si_status, *last ? ": " : "",
			 last);
	else
		snprintf(out, size, "was ended by signal %d (%s)", info.si_status,
			 strsignal(info.si_status));
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct process *process = arg;
	char how[LINE_SIZE + 64];

	event_del(process->end_event);
	loop_timer_clear(process->loop, &process->kill_timer);
	drain_output(process);
	describe_end(process, how, sizeof(how));
	process->pid = 0;
	log_debug("%s %s", process->name, how);
	process->ended(process->arg, how); /* may forget it */
}

static void on_kill_timer(struct loop_timer *timer)
{
	const struct process *process = container_of(timer, struct process, kill_timer);

	log_debug("%s does not end and is killed", process->name);
	pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
}

void process_end(struct process *process)
{
	if (process->pid == 0 || loop_timer_is_set(&process->kill_timer))
		return;
	pidfd_send_signal(process->pidfd, SIGTERM, NULL, 0);
	loop_deadline_set(process->loop, &process->kill_timer, END_MS);
}

/* True if the process has ended. */
static bool await_end(const struct process *process, int timeout_ms)
{
	struct pollfd end = { .fd = process->pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&end, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

struct process *process_free(struct process *process)
{
	siginfo_t info;

	if (process && process->pid != 0) {
		pidfd_send_signal(process->pidfd, SIGTERM, NULL, 0);
		if (!await_end(process, END_MS)) {
			pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
			await_end(process, KILLED_MS);
		}
		if (process->is_child)
			waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
	}
	return process_forget(process);
}

struct process *process_forget(struct process *process)
{
	if (!process)
		return NULL;
	loop_timer_clear(process->loop, &process->kill_timer);
	close_output(process);
	event_free(process->end_event);
	close(process->pidfd);
	free(process->name);
	free(process);
	return NULL;
}

pid_t process_pid(const struct process *process)
{
	return process->pid;
}

/* ---- its start ---- */

char *process_find(const char *program)
{
	_cleanup_free_ char *folders =
		xstrdup(str_or(getenv("PATH"), "/usr/sbin:/usr/bin:/sbin:/bin"));
	char *save = NULL;

	for (char *folder = strtok_r(folders, ":", &save); folder;
	     folder = strtok_r(NULL, ":", &save)) {
		_cleanup_free_ char *path = xasprintf("%s/%s", folder, program);

		if (path[0] == '/' && access(path, X_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

static struct process *process_new(struct loop *loop, pid_t pid, int pidfd, const char *name,
				   process_ended_fn ended, void *arg)
{
	struct process *process = xnew(struct process);

	process->loop = loop;
	process->pid = pid;
	process->pidfd = pidfd;
	process->output_fd = -1;
	process->ended = ended;
	process->arg = arg;
	process->kill_timer.fire = on_kill_timer;
	process->name = xstrdup(name);
	process->minute_ms = clock_mono_ms();
	process->end_event =
		event_new(loop_base(loop), pidfd, EV_READ | EV_PERSIST, on_end, process);
	if (!process->end_event || event_add(process->end_event, NULL) < 0)
		abort();
	return process;
}

struct process *process_adopt(struct loop *loop, pid_t pid, process_ended_fn ended, void *arg,
			      struct err *err)
{
	_cleanup_free_ char *name = xasprintf("process %d", (int)pid);
	int pidfd = pidfd_open(pid, 0);

	if (pidfd < 0) {
		err_set(err, ERR_UNAVAILABLE, "process %d cannot be watched: %s", (int)pid,
			strerror(errno));
		return NULL;
	}
	return process_new(loop, pid, pidfd, name, ended, arg);
}

/* All our descriptors are close-on-exec, but libraries may hold others that are not. */
static int spawn(const char *const *argv, int output_fd, pid_t *out_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int r;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, output_fd, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, output_fd, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	r = posix_spawn(out_pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv,
			environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

struct process *process_start(struct loop *loop, const char *const *argv, process_ended_fn ended,
			      void *arg, struct err *err)
{
	const char *slash = strrchr(argv[0], '/');
	_cleanup_close_ int out = -1, in = -1;
	struct process *process;
	int ends[2], r, pidfd;
	pid_t pid;

	assert(slash && ended);
	if (pipe2(ends, O_CLOEXEC) < 0) {
		err_set(err, ERR_UNAVAILABLE, "%s cannot be started: %s", argv[0], strerror(errno));
		return NULL;
	}
	in = ends[0];
	out = ends[1];
	/* Our side alone: the program's must stay blocking. */
	fcntl(in, F_SETFL, O_NONBLOCK);
	r = spawn(argv, out, &pid);
	if (r != 0) {
		err_set(err, ERR_UNAVAILABLE, "%s cannot be started: %s", argv[0], strerror(r));
		return NULL;
	}
	/* The process is our child and not waited for yet, so the number is still its own. */
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		err_set(err, ERR_UNAVAILABLE, "%s cannot be watched, so it was ended again: %s",
			argv[0], strerror(errno));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return NULL;
	}
	process = process_new(loop, pid, pidfd, slash + 1, ended, arg);
	process->is_child = true;
	process->output_fd = TAKE_FD(in);
	process->output_event = event_new(loop_base(loop), process->output_fd, EV_READ | EV_PERSIST,
					  on_output, process);
	if (!process->output_event || event_add(process->output_event, NULL) < 0)
		abort();
	return process;
}
