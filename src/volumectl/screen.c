/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The terminal as a screen. It has to be given back at every end, or the user's shell would be left
 * without echo and cursor. So each signal that ends or stops a program is blocked and read from a
 * file together with the keys; then it is obeyed in the usual way, after the terminal is in order.
 * Keys are read one by one, but Ctrl-C and Ctrl-Z stay the terminal's business: they reach the
 * whole job, as a shell expects.
 */

#include "volumectl/screen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "volumectl/terminal.h"

/* The other screen, no cursor, no wrapping of lines; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[H\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

struct screen {
	int events, signals; /* epoll: signals and keys */
	bool has_keys, has_colours, is_on;
	struct termios before;
	sigset_t mask_before, caught;
	struct buf shown; /* the lines on the terminal */
	int end_signal;
};

static const int caught_signals[] = {
	SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH
};

static void put(const char *text, size_t length)
{
	/* A terminal that has gone sends SIGHUP, too. */
	while (length > 0) {
		ssize_t done = write(STDOUT_FILENO, text, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return;
		text += done;
		length -= (size_t)done;
	}
}

static void enter(struct screen *screen)
{
	struct termios mode = screen->before;

	/* Stops here if another job has the terminal; the next SIGCONT comes back to it. */
	mode.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
	mode.c_iflag &= (tcflag_t)~IXON; /* a stopped output could not be given back */
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	tcsetattr(STDOUT_FILENO, TCSANOW, &mode);
	put(ENTER, strlen(ENTER));
	buf_reset(&screen->shown);
	screen->is_on = true;
}

static void leave(struct screen *screen)
{
	if (!screen->is_on)
		return;
	screen->is_on = false;
	put(LEAVE, strlen(LEAVE));
	tcsetattr(STDOUT_FILENO, TCSANOW, &screen->before);
}

static int add_file(const struct screen *screen, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(screen->events, EPOLL_CTL_ADD, fd, &event);
}

int screen_open(struct screen **out, struct err *err)
{
	struct screen *screen = xnew(struct screen);

	fflush(stdout);
	sigemptyset(&screen->caught);
	for (size_t i = 0; i < ARRAY_SIZE(caught_signals); i++)
		sigaddset(&screen->caught, caught_signals[i]);
	sigprocmask(SIG_BLOCK, &screen->caught, &screen->mask_before);
	screen->events = epoll_create1(EPOLL_CLOEXEC);
	screen->signals = signalfd(-1, &screen->caught, SFD_CLOEXEC | SFD_NONBLOCK);
	screen->has_colours = terminal_has_colours(STDOUT_FILENO);
	if (screen->events < 0 || screen->signals < 0 || add_file(screen, screen->signals) < 0 ||
	    tcgetattr(STDOUT_FILENO, &screen->before) < 0) {
		err_set(err, ERR_INTERNAL, "the terminal cannot be used: %s; try --plain",
			strerror(errno));
		screen_close(screen);
		return -1;
	}
	screen->has_keys = isatty(STDIN_FILENO) && add_file(screen, STDIN_FILENO) == 0;
	enter(screen);
	*out = screen;
	return 0;
}

int screen_close(struct screen *screen)
{
	int number;

	if (!screen)
		return 0;
	leave(screen);
	close(screen->signals);
	close(screen->events);
	sigprocmask(SIG_SETMASK, &screen->mask_before, NULL);
	buf_clear(&screen->shown);
	number = screen->end_signal;
	free(screen);
	return number;
}

void screen_die(int number)
{
	if (number)
		raise(number);
}

int screen_fd(const struct screen *screen)
{
	return screen->events;
}

/* --- input --- */

/* As the terminal's Ctrl-Z does with a program that knows nothing of signals. */
static void suspend(struct screen *screen)
{
	sigset_t stop;

	leave(screen);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL); /* stops here */
	sigprocmask(SIG_BLOCK, &stop, NULL);
	enter(screen);
}

static enum screen_input read_signal(struct screen *screen)
{
	struct signalfd_siginfo info;

	if (read(screen->signals, &info, sizeof(info)) != sizeof(info))
		return SCREEN_NOTHING;
	switch (info.ssi_signo) {
	case SIGTSTP:
		suspend(screen);
		return SCREEN_DRAW;
	case SIGCONT: /* the shell has used the terminal meanwhile */
	case SIGWINCH:
		enter(screen);
		return SCREEN_DRAW;
	default:
		screen->end_signal = (int)info.ssi_signo;
		return SCREEN_QUIT;
	}
}

static enum screen_input read_keys(void)
{
	char keys[64];
	ssize_t count = read(STDIN_FILENO, keys, sizeof(keys));

	if (count < 0 && errno == EINTR)
		return SCREEN_NOTHING;
	if (count <= 0)
		return SCREEN_QUIT; /* the terminal has gone */
	return memchr(keys, 'q', (size_t)count) || memchr(keys, 'Q', (size_t)count)
		       ? SCREEN_QUIT
		       : SCREEN_NOTHING;
}

enum screen_input screen_read(struct screen *screen)
{
	enum screen_input result = SCREEN_NOTHING;
	struct epoll_event event;

	while (result != SCREEN_QUIT && epoll_wait(screen->events, &event, 1, 0) > 0) {
		enum screen_input input =
			event.data.fd == screen->signals ? read_signal(screen) : read_keys();

		if (input != SCREEN_NOTHING)
			result = input;
	}
	return result;
}

/* --- output --- */

static struct winsize size_of_terminal(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	return size;
}

size_t screen_rows(const struct screen *screen)
{
	return size_of_terminal().ws_row;
}

size_t screen_columns(const struct screen *screen)
{
	return size_of_terminal().ws_col;
}

bool screen_has_colours(const struct screen *screen)
{
	return screen->has_colours;
}

/* Takes the next line off a text; at its end all lines are empty. */
static const char *next_line(const char **text, size_t *length)
{
	const char *line = *text;

	*length = strcspn(line, "\n");
	*text = line + *length + (line[*length] == '\n');
	return line;
}

void screen_draw(struct screen *screen, const char *lines)
{
	const char *before = str_or(screen->shown.data, ""), *after = lines;
	size_t rows = screen_rows(screen);
	_cleanup_buf_ struct buf out = BUF_NULL;

	for (size_t row = 1; row <= rows; row++) {
		size_t old_length, length;
		const char *old = next_line(&before, &old_length);
		const char *line = next_line(&after, &length);

		if (length == old_length && memcmp(line, old, length) == 0)
			continue;
		buf_printf(&out, "\033[%zu;1H\033[2K", row);
		buf_add(&out, line, length);
	}
	if (out.length)
		put(out.data, out.length);
	buf_reset(&screen->shown);
	buf_add_text(&screen->shown, lines);
}
