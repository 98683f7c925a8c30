/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * polkit asks for a password through an agent of the user's session. A desktop has one; a terminal
 * has none, and without an agent every question is a no. So volumectl brings polkit's own agent for
 * terminals, as systemctl does. The agent registers with polkit before it closes its end of the
 * pipe, and --fallback lets it step back if the session has an agent already.
 */

#include "volumectl/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/util.h"

#define AGENT "pkttyagent"
#define READY_MS 5000 /* it registers in some ms; without it the call is just refused */

static pid_t agent;

static _Noreturn void become_agent(int fd, pid_t parent)
{
	char number[16];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	snprintf(number, sizeof(number), "%d", fd);
	fcntl(fd, F_SETFD, 0);
	execlp(AGENT, AGENT, "--notify-fd", number, "--fallback", (char *)NULL);
	_exit(EXIT_FAILURE);
}

bool agent_start(void)
{
	struct pollfd ready;
	pid_t parent = getpid();
	int fds[2];

	if (agent > 0)
		return true;
	if (geteuid() == 0 || !isatty(STDIN_FILENO) || pipe2(fds, O_CLOEXEC) < 0)
		return false;
	agent = fork();
	if (agent == 0)
		become_agent(fds[1], parent);
	close(fds[1]);
	ready = (struct pollfd){ .fd = fds[0] };
	if (agent > 0)
		poll(&ready, 1, READY_MS);
	close(fds[0]);
	/* An agent that is not installed has ended already. */
	if (agent > 0 && waitpid(agent, NULL, WNOHANG) == agent)
		agent = 0;
	return agent > 0;
}

void agent_stop(void)
{
	if (agent <= 0)
		return;
	kill(agent, SIGTERM);
	waitpid(agent, NULL, 0);
	agent = 0;
}
