/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What really arrives on stderr: on a pipe as under systemd, on a pseudo terminal as for a
 * person. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
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
	static char out[32768];
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

/* The module of a line is the folder of the file that writes it. */
static void modules_have_levels_of_their_own(void **state)
{
	struct log_levels levels;
	struct err err = { 0 };

	assert_int_equal(log_levels_parse("warning, cloud=debug,rest=error", &levels, &err), 0);
	log_set_levels(&levels);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARNING);
	assert_true(log_enabled_in("../src/cloud/cloud_queue.c", LOG_LEVEL_DEBUG));
	assert_true(log_enabled_in("/home/src/cloud/src/cloud/x.c", LOG_LEVEL_DEBUG));
	assert_false(log_enabled_in("/home/src/cloud/src/core/ops/x.c", LOG_LEVEL_NOTICE));
	assert_true(log_enabled_in("../src/core/ops/attach.c", LOG_LEVEL_WARNING));
	assert_false(log_enabled_in("../src/api/rest/server.c", LOG_LEVEL_WARNING));
	assert_true(log_enabled_in("../src/api/bus/bus.c", LOG_LEVEL_WARNING));
	assert_false(log_enabled_in("../tests/unit/test.c", LOG_LEVEL_NOTICE));
	log_set_level(LOG_LEVEL_INFO);
	assert_false(log_enabled_in("../src/cloud/cloud_queue.c", LOG_LEVEL_DEBUG));
}

static void levels_that_are_wrong_are_explained(void **state)
{
	static const char *const texts[][2] = {
		{ "loud",
		  "there is no level \"loud\"; there are: error, warning, notice, info, debug" },
		{ "info,cloud=loud", "there is no level \"loud\"" },
		{ "info,clouds=debug",
		  "there is no module \"clouds\"; there are: daemon, base, bus" },
		{ "cloud=debug,info", "\"info\", must be the first word" },
		{ " , ", "name a level" },
	};
	struct log_levels levels;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct err err = { 0 };

		assert_int_equal(log_levels_parse(texts[i][0], &levels, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, texts[i][1]));
	}
}

/* ---- the journal ---- */

struct journal {
	char path[64];
	int fd;
	int stream[2]; /* stderr as journald makes it */
};

static void journal_begin(struct journal *journal)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	char id[64];

	snprintf(journal->path, sizeof(journal->path), "/tmp/volume-daemon-log-%d", (int)getpid());
	unlink(journal->path);
	journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", journal->path);
	assert_int_equal(bind(journal->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(pipe2(journal->stream, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fstat(journal->stream[1], &st), 0);
	snprintf(id, sizeof(id), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", id, 1);
	catch_stderr(journal->stream[1]);
	log_set_level(LOG_LEVEL_INFO);
	log_open(journal->path);
}

static void journal_end(struct journal *journal)
{
	log_open(NULL);
	log_set_target(LOG_TARGET_AUTO);
	catch_stderr(real_stderr);
	unsetenv("JOURNAL_STREAM");
	unlink(journal->path);
	close(journal->fd);
	close(journal->stream[0]);
	close(journal->stream[1]);
}

static const char *received(int fd)
{
	static char out[65536];
	ssize_t length = read(fd, out, sizeof(out) - 1);

	out[length < 0 ? 0 : length] = '\0';
	return out;
}

static void an_entry_has_fields(void **state)
{
	struct journal journal;

	journal_begin(&journal);
	log_tell(LOG_LEVEL_NOTICE,
		 (.message_id = "0123456789abcdef0123456789abcdef", .operation_id = "op-1",
		  .volume_id = "v\nPRIORITY=0", .step = ""),
		 "said: %s", "a\nMESSAGE=forged");
	assert_string_equal(received(journal.fd),
			    "SYSLOG_IDENTIFIER=volume-daemon\nPRIORITY=5\nMODULE=daemon\n"
			    "MESSAGE_ID=0123456789abcdef0123456789abcdef\nOPERATION_ID=op-1\n"
			    "VOLUME_ID=v\\nPRIORITY=0\nMESSAGE=said: a\\nMESSAGE=forged\n");
	log_write_in("../src/cloud/x.c", LOG_LEVEL_ERROR, NULL, "broken");
	assert_string_equal(received(journal.fd), "SYSLOG_IDENTIFIER=volume-daemon\nPRIORITY=3\n"
						  "MODULE=cloud\nMESSAGE=broken\n");
	assert_string_equal(received(journal.stream[0]), "");
	journal_end(&journal);
}

static void a_stderr_that_leads_elsewhere_gets_lines(void **state)
{
	struct journal journal;
	int ends[2];

	journal_begin(&journal);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	catch_stderr(ends[1]);
	log_open(journal.path);
	log_info("line");
	assert_string_equal(received(ends[0]), "<6>line\n");
	/* Whoever wants the journal all the same gets it, and the other way round. */
	log_set_target(LOG_TARGET_JOURNAL);
	log_info("entry");
	assert_non_null(strstr(received(journal.fd), "MESSAGE=entry\n"));
	log_set_target(LOG_TARGET_CONSOLE);
	log_info("line again");
	assert_string_equal(received(ends[0]), "<6>line again\n");
	close(ends[0]);
	close(ends[1]);
	journal_end(&journal);
}

static void without_journald_lines_go_to_stderr(void **state)
{
	struct journal journal;

	journal_begin(&journal);
	unlink(journal.path);
	log_info("alone");
	assert_string_equal(received(journal.stream[0]), "<6>alone\n");
	journal_end(&journal);
}

/* A journald that does not read stops nobody, and hears how much it missed. */
static void a_full_journal_drops_entries(void **state)
{
	struct journal journal;
	size_t sent = 0, taken = 0;
	const char *entry;

	journal_begin(&journal);
	for (; sent < 2000; sent++)
		log_info("many");
	while (*received(journal.fd))
		taken++;
	assert_in_range(taken, 1, sent - 1);
	log_info("found");
	entry = received(journal.fd);
	assert_non_null(strstr(entry, "PRIORITY=4\nMODULE=base\nMESSAGE="));
	assert_int_equal(strtoul(strstr(entry, "MESSAGE=") + strlen("MESSAGE="), NULL, 10),
			 sent - taken);
	assert_non_null(strstr(received(journal.fd), "MESSAGE=found\n"));
	assert_string_equal(received(journal.stream[0]), "");
	journal_end(&journal);
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
	char text[40000];
	const char *line;

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_set_level(LOG_LEVEL_INFO);
	line = piped(LOG_LEVEL_INFO, text);
	assert_in_range(strlen(line), 16300, 16500);
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

/* Fills a pipe or socket, and returns the bytes in it. */
static size_t fill(int fd)
{
	char bytes[1024] = { 0 };
	size_t sum = 0;
	ssize_t got;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((got = write(fd, bytes, sizeof(bytes))) > 0)
		sum += (size_t)got;
	assert_int_equal(errno, EAGAIN);
	fcntl(fd, F_SETFL, 0);
	return sum;
}

static void skip_bytes(int fd, size_t count)
{
	char bytes[1024];

	while (count > 0)
		count -= (size_t)read(fd, bytes, count < sizeof(bytes) ? count : sizeof(bytes));
}

/* A reader that stands still stops no writer, and learns how much it missed. */
static void check_full(int from, int to)
{
	char out[1000] = "";
	size_t filled = fill(to);
	ssize_t length;

	log_set_level(LOG_LEVEL_INFO);
	catch_stderr(to);
	for (int i = 0; i < 3; i++)
		log_info("lost");
	catch_stderr(real_stderr);
	skip_bytes(from, filled);
	catch_stderr(to);
	log_info("found");
	catch_stderr(real_stderr);
	length = read(from, out, sizeof(out) - 1);
	assert_true(length > 0);
	out[length] = '\0';
	length += read(from, out + length, sizeof(out) - 1 - (size_t)length);
	assert_string_equal(out, "<4>3 lines were dropped: the log did not take them\n"
				 "<6>found\n");
	close(from);
	close(to);
}

static void full_pipe(void **state)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	check_full(ends[0], ends[1]);
}

static void full_socket(void **state)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	check_full(ends[0], ends[1]);
}

static void callers_have_some_lines_a_second(void **state)
{
	FILE *file = tmpfile();
	struct log_limit limit = { 0 };
	char line[1000];
	int lines = 0;

	clock_test_start(5000, 1700000000000);
	log_set_level(LOG_LEVEL_INFO);
	catch_stderr(fileno(file));
	for (int i = 0; i < 1000; i++) {
		if (log_limit_allows(&limit, LOG_LEVEL_INFO))
			log_info("refused");
	}
	clock_test_advance(1000);
	assert_false(log_limit_allows(&limit, LOG_LEVEL_DEBUG));
	if (log_limit_allows(&limit, LOG_LEVEL_INFO))
		log_info("refused");
	catch_stderr(real_stderr);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		assert_string_equal(line, lines == 10 ? "<6>990 more lines like the last were not "
							"logged\n"
						      : "<6>refused\n");
		lines++;
	}
	assert_int_equal(lines, 12);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_as_journald_reads_them),
		cmocka_unit_test(level_word_on_a_terminal),
		cmocka_unit_test(threshold),
		cmocka_unit_test(modules_have_levels_of_their_own),
		cmocka_unit_test(levels_that_are_wrong_are_explained),
		cmocka_unit_test(an_entry_has_fields),
		cmocka_unit_test(a_stderr_that_leads_elsewhere_gets_lines),
		cmocka_unit_test(without_journald_lines_go_to_stderr),
		cmocka_unit_test(a_full_journal_drops_entries),
		cmocka_unit_test(hostile_text_cannot_forge_a_line),
		cmocka_unit_test(endless_text_is_cut),
		cmocka_unit_test(errno_survives),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(full_pipe),
		cmocka_unit_test(full_socket),
		cmocka_unit_test(callers_have_some_lines_a_second),
	};

	real_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
