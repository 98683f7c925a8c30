/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon says its address on a pipe once it listens, so nothing here waits by the clock. Its
 * socket stays at one path, so that a second daemon can take the place of the first.
 */

#include "bus_daemon.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
/* after those it needs */
#include <cmocka.h>

#include "base/util.h"

static const char bus_config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
	"\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
	"<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>"
	"<policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/>"
	"<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>"
	"<limit name=\"max_replies_per_connection\">10000</limit></busconfig>\n";

static _Noreturn void daemon_exec(const char *config, int ready_fd)
{
	_cleanup_free_ char *print = xasprintf("--print-address=%d", ready_fd);
	_cleanup_free_ char *file = xasprintf("--config-file=%s", config);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test is killed */
	execlp("dbus-daemon", "dbus-daemon", file, "--nofork", "--nopidfile", print, (char *)NULL);
	_exit(127);
}

void bus_daemon_init(struct bus_daemon *daemon)
{
	*daemon = (struct bus_daemon){ 0 };
	snprintf(daemon->directory, sizeof(daemon->directory), "/tmp/test-bus-XXXXXX");
	assert_non_null(mkdtemp(daemon->directory));
	assert_int_equal(chmod(daemon->directory, 0755), 0);
	daemon->address = xasprintf("unix:path=%s/bus", daemon->directory);
}

void bus_daemon_start(struct bus_daemon *daemon)
{
	_cleanup_free_ char *config = NULL;
	int ready[2];
	char c;
	FILE *file;

	config = xasprintf("%s/bus.conf", daemon->directory);
	file = fopen(config, "we");
	assert_non_null(file);
	fprintf(file, bus_config, daemon->directory);
	fclose(file);
	assert_int_equal(pipe(ready), 0);
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	daemon->pid = fork();
	assert_true(daemon->pid >= 0);
	if (daemon->pid == 0)
		daemon_exec(config, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

void bus_daemon_stop(struct bus_daemon *daemon)
{
	if (daemon->pid <= 0)
		return;
	kill(daemon->pid, SIGTERM);
	kill(daemon->pid, SIGCONT); /* a test that failed may have left it stopped */
	waitpid(daemon->pid, NULL, 0);
	daemon->pid = 0;
}

void bus_daemon_fini(struct bus_daemon *daemon)
{
	static const char *const files[] = { "bus", "bus.conf" };

	bus_daemon_stop(daemon);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", daemon->directory, files[i]);

		unlink(path);
	}
	rmdir(daemon->directory);
	free(daemon->address);
}
