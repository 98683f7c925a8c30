/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What really arrives on stderr: on a pipe as under systemd, on a pseudo terminal as for a
 * person. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>

#include "base/log.h"

static int real_stderr;

static int catch_stderr(int fd)
{
	fflush(stderr);
	return dup2(fd, STDERR_FILENO);
}

/* Runs log_write with stderr on fd `to`, then returns what can be read from `from`. */
static char *caught(int from, int to, enum log_level level, const char *text)
{
	static char out[16384];
	ssize_t length;

	catch_stderr(to);
	log_write(level, "%s", text);
	catch_stderr(real_stderr);
	length = read(from, out, sizeof(out) - 1);
	assert_true(length >= 0 || errno == EAGAIN);
	out[length < 0 ? 0 : length] = '\0';
	return out;
}

static char *piped(enum log_level level, const char *text)
{
	int ends[2];
	char *out;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	out = caught(ends[0], ends[1], level, text);
	close(ends[0]);
	close(ends[1]);
	return out;
}

static void levels_as_journald_reads_them(void **state)
{
	log_set_level(LOG_LEVEL_DEBUG);
	assert_string_equal(piped(LOG_LEVEL_ERROR, "a"), "<3>a\n");
	assert_string_equal(piped(LOG_LEVEL_WARNING, "a"), "<4>a\n");
	assert_string_equal(piped(LOG_LEVEL_NOTICE, "a"), "<5>a\n");
	assert_string_equal(piped(LOG_LEVEL_INFO, "a"), "<6>a\n");
	assert_string_equal(piped(LOG_LEVEL_DEBUG, "a"), "<7>a\n");
}

static void level_word_on_a_terminal(void **state)
{
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	log_set_level(LOG_LEVEL_INFO);
	assert_string_equal(caught(master, slave, LOG_LEVEL_WARNING, "hot"), "warning: hot\r\n");
	close(master);
	close(slave);
}

static void threshold(void **state)
{
	log_set_level(LOG_LEVEL_WARNING);
	assert_true(log_enabled(LOG_LEVEL_ERROR));
	assert_true(log_enabled(LOG_LEVEL_WARNING));
	assert_false(log_enabled(LOG_LEVEL_NOTICE));
	assert_string_equal(piped(LOG_LEVEL_NOTICE, "quiet"), "");
	assert_string_equal(piped(LOG_LEVEL_WARNING, "loud"), "<4>loud\n");
	for (int level = 0; level < LOG_LEVEL_COUNT; level++)
		assert_non_null(log_level_names[level]);
	assert_null(log_level_names[LOG_LEVEL_COUNT]);
}

static void hostile_text_cannot_forge_a_line(void **state)
{
	log_set_level(LOG_LEVEL_INFO);
	assert_string_equal(piped(LOG_LEVEL_INFO, "name\n<3>forged\r\x1b[2J"),
			    "<6>name\\n<3>forged\\x0d\\x1b[2J\n");
	assert_string_equal(piped(LOG_LEVEL_INFO, "\xff \xc2\x85 \xc3\xbc"),
			    "<6>\\xff \\xc2\\x85 \xc3\xbc\n");
}

static void endless_text_is_cut(void **state)
{
	char text[9000];
	const char *line;

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_set_level(LOG_LEVEL_INFO);
	line = piped(LOG_LEVEL_INFO, text);
	assert_in_range(strlen(line), 4000, 4500);
	assert_non_null(strstr(line, " [cut]\n"));
}

static void errno_survives(void **state)
{
	int ends[2];
	char out[100] = "";

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	catch_stderr(ends[1]);
	errno = ENOENT;
	log_error("open: %m");
	catch_stderr(real_stderr);
	assert_int_equal(errno, ENOENT);
	assert_true(read(ends[0], out, sizeof(out) - 1) > 0);
	assert_string_equal(out, "<3>open: No such file or directory\n");
	close(ends[0]);
	close(ends[1]);
}

#define THREADS 4
#define LINES 200

static void *write_lines(void *arg)
{
	const char *letter = arg;
	char text[300];

	memset(text, *letter, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < LINES; i++)
		log_write(LOG_LEVEL_INFO, "%s", text);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static char letters[THREADS] = { 'a', 'b', 'c', 'd' };
	FILE *file = tmpfile();
	pthread_t threads[THREADS];
	char line[1000];
	int count = 0;

	/* Appending, as a log file would be opened; each write then lands behind the last. */
	assert_int_equal(fcntl(fileno(file), F_SETFL, O_APPEND), 0);
	log_set_level(LOG_LEVEL_INFO);
	catch_stderr(fileno(file));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, write_lines, &letters[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	catch_stderr(real_stderr);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		assert_int_equal(strlen(line), 3 + 299 + 1);
		for (int i = 4; i < 302; i++)
			assert_int_equal(line[i], line[3]);
		count++;
	}
	assert_int_equal(count, THREADS * LINES);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_as_journald_reads_them),
		cmocka_unit_test(level_word_on_a_terminal),
		cmocka_unit_test(threshold),
		cmocka_unit_test(hostile_text_cannot_forge_a_line),
		cmocka_unit_test(endless_text_is_cut),
		cmocka_unit_test(errno_survives),
		cmocka_unit_test(lines_of_threads_do_not_mix),
	};

	real_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
