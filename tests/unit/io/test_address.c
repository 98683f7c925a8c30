/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as configurations write them, and ports of real sockets on loopback. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/address.h"

#define LONGEST_PATH (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static struct address parsed(const char *text)
{
	struct address address;
	struct err err = { 0 };

	if (address_parse(text, &address, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return address;
}

static void addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *text, *host;
		int family, port;
		bool local;
	} rows[] = {
		{ "127.0.0.1:10809", "127.0.0.1", AF_INET, 10809, true },
		{ "127.255.0.9:1", "127.255.0.9", AF_INET, 1, true },
		{ "0.0.0.0:0", "0.0.0.0", AF_INET, 0, false },
		{ "192.0.2.7:65535", "192.0.2.7", AF_INET, 65535, false },
		{ "[::1]:10809", "::1", AF_INET6, 10809, true },
		{ "[::]:80", "::", AF_INET6, 80, false },
		{ "[2001:db8::1]:80", "2001:db8::1", AF_INET6, 80, false },
		{ "unix:/run/x.sock", "", AF_UNIX, 0, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address address = parsed(rows[i].text);
		char text[ADDRESS_TEXT_SIZE];

		assert_int_equal(address.sa.any.sa_family, rows[i].family);
		assert_string_equal(address.host, rows[i].host);
		assert_int_equal(address.port, rows[i].port);
		assert_int_equal(address_is_local(&address), rows[i].local);
		assert_int_equal(address_is_unix(&address), rows[i].family == AF_UNIX);
		address_format(&address, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
}

static void other_texts_are_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
		{ "", "must be a numeric address and a port" },
		{ "127.0.0.1", "must be a numeric address and a port" },
		{ ":80", "must be a numeric address and a port" },
		{ "127.0.0.1:", "must be a numeric address and a port" },
		{ "127.0.0.1:65536", "must be a numeric address and a port" },
		{ "127.0.0.1:-1", "must be a numeric address and a port" },
		{ "1234567890123456789012345678901234567890123456:80",
		  "must be a numeric address and a port" },
		{ "localhost:80", "\"localhost\" is not a numeric address" },
		{ "127.1:80", "\"127.1\" is not a numeric address" },
		{ "unix:run/x.sock", "must hold an absolute path" },
		{ "unix:", "must hold an absolute path" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address address;
		struct err err = { 0 };

		assert_int_equal(address_parse(rows[i].text, &address, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		if (!strstr(err.text, rows[i].reason))
			fail_msg("%s: %s", rows[i].text, err.text);
	}
}

/* The kernel takes no longer path, and a shorter one must not be cut. */
static void a_unix_path_may_fill_its_room(void **state)
{
	char text[sizeof("unix:") + LONGEST_PATH + 1] = "unix:/";
	char written[ADDRESS_TEXT_SIZE];
	struct address address;
	struct err err = { 0 };

	memset(text + strlen(text), 'x', LONGEST_PATH - 1);
	address = parsed(text);
	assert_string_equal(address.sa.local.sun_path, text + strlen("unix:"));
	address_format(&address, written, sizeof(written));
	assert_string_equal(written, text);
	text[strlen(text)] = 'x';
	assert_int_equal(address_parse(text, &address, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void assert_bound_as_read(const char *text)
{
	struct address wanted = parsed(text), bound;
	int port, fd = socket(wanted.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err = { 0 };

	assert_int_equal(address_free_port(&wanted, &port, &err), 0);
	assert_in_range(port, 1, 65535);
	address_set_port(&wanted, port);
	assert_int_equal(bind(fd, &wanted.sa.any, wanted.length), 0);
	assert_int_equal(address_of_socket(fd, &bound), 0);
	close(fd);
	assert_int_equal(bound.port, port);
	assert_string_equal(bound.host, wanted.host);
	assert_true(address_is_local(&bound));
}

static void a_socket_has_the_address_it_was_bound_to(void **state)
{
	assert_bound_as_read("127.0.0.1:0");
	assert_bound_as_read("[::1]:0");
}

static void other_sockets_have_no_address(void **state)
{
	struct address address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(address_of_socket(fd, &address), -1);
	close(fd);
	assert_int_equal(address_of_socket(-1, &address), -1);
}

/* 192.0.2.0/24 is for documentation: no machine has an address of it. */
static void a_foreign_address_has_no_port_for_us(void **state)
{
	struct address address = parsed("192.0.2.7:0");
	struct err err = { 0 };
	int port;

	assert_int_equal(address_free_port(&address, &port, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "192.0.2.7 has no free port"));
}

/* The errno of an address on which no socket can listen; 0: one can. */
static int why_not(const char *path)
{
	_cleanup_free_ char *text = xasprintf("unix:%s", path);
	struct address address = parsed(text);
	struct address_file file;
	_cleanup_close_ int fd = address_listen_unix(&address, (gid_t)-1, &file);

	return fd < 0 ? errno : 0;
}

static int bound_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Only a program that listens is called one. */
static void a_unix_path_tells_why_it_is_no_good(void **state)
{
	char folder[] = "/tmp/address-XXXXXX";
	_cleanup_free_ char *path = NULL, *below = NULL;
	int listener;

	assert_non_null(mkdtemp(folder));
	path = xasprintf("%s/socket", folder);
	below = xasprintf("%s/below", path);
	assert_int_equal(why_not(below), ENOENT);
	listener = bound_to(path);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(why_not(path), EADDRINUSE);
	assert_int_equal(why_not(below), ENOTDIR);
	close(listener);
	assert_int_equal(why_not(path), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(why_not(path), ENOTSOCK);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* A listener whose queue of clients is full listens as well. */
static void a_busy_listener_keeps_its_path(void **state)
{
	char folder[] = "/tmp/address-XXXXXX";
	_cleanup_free_ char *path = NULL;
	struct address address;
	int listener, clients[2];

	assert_non_null(mkdtemp(folder));
	path = xasprintf("unix:%s/socket", folder);
	address = parsed(path);
	listener = bound_to(address.sa.local.sun_path);
	assert_int_equal(listen(listener, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(clients[i], &address.sa.any, address.length) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(why_not(address.sa.local.sun_path), EADDRINUSE);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	close(listener);
	assert_int_equal(unlink(address.sa.local.sun_path), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* The socket of a dead program is at their path. At most one listens there, and it still has its
 * path when all are done. */
static void of_daemons_that_start_at_once_one_listens(void **state)
{
	enum { DAEMONS = 8, ROUNDS = 100 };
	pid_t daemons[DAEMONS];
	char folder[] = "/tmp/address-XXXXXX";
	_cleanup_free_ char *text = NULL;
	struct address address;

	assert_non_null(mkdtemp(folder));
	text = xasprintf("unix:%s/socket", folder);
	address = parsed(text);
	for (int round = 0; round < ROUNDS; round++) {
		int gate[2], verdict[2], listening = 0;
		char word;

		close(bound_to(address.sa.local.sun_path));
		assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
		assert_int_equal(pipe2(verdict, O_CLOEXEC), 0);
		for (int i = 0; i < DAEMONS; i++) {
			daemons[i] = fork();
			assert_true(daemons[i] >= 0);
			if (daemons[i] == 0) {
				struct address_file file;
				int fd;

				prctl(PR_SET_PDEATHSIG, SIGKILL); /* also if this test fails */
				close(gate[1]);
				(void)!read(gate[0], &word, 1); /* until it is opened for all */
				fd = address_listen_unix(&address, (gid_t)-1, &file);
				word = fd >= 0 ? 'y' : errno == EADDRINUSE ? 'n' : '?';
				(void)!write(verdict[1], &word, 1);
				pause(); /* a killed daemon removes nothing */
				_exit(0);
			}
		}
		close(gate[1]);
		for (int i = 0; i < DAEMONS; i++) {
			assert_int_equal(read(verdict[0], &word, 1), 1);
			assert_int_not_equal(word, '?');
			listening += word == 'y';
		}
		assert_int_equal(listening, 1);
		assert_int_equal(why_not(address.sa.local.sun_path), EADDRINUSE);
		for (int i = 0; i < DAEMONS; i++) {
			kill(daemons[i], SIGKILL);
			assert_int_equal(waitpid(daemons[i], NULL, 0), daemons[i]);
		}
		close(gate[0]);
		close(verdict[0]);
		close(verdict[1]);
		assert_int_equal(unlink(address.sa.local.sun_path), 0);
	}
	assert_int_equal(rmdir(folder), 0); /* nothing else is left in it */
}

/* The file was removed by hand, and another daemon has begun. */
static void a_daemon_that_stops_removes_its_own_socket(void **state)
{
	char folder[] = "/tmp/address-XXXXXX";
	_cleanup_free_ char *text = NULL;
	struct address_file old, new;
	struct address address;
	int fds[2];

	assert_non_null(mkdtemp(folder));
	text = xasprintf("unix:%s/socket", folder);
	address = parsed(text);
	fds[0] = address_listen_unix(&address, (gid_t)-1, &old);
	assert_true(fds[0] >= 0);
	assert_int_equal(unlink(address.sa.local.sun_path), 0);
	fds[1] = address_listen_unix(&address, (gid_t)-1, &new);
	assert_true(fds[1] >= 0);
	address_unlink_unix(&address, &old);
	assert_int_equal(why_not(address.sa.local.sun_path), EADDRINUSE);
	address_unlink_unix(&address, &new);
	assert_int_equal(rmdir(folder), 0);
	close(fds[0]);
	close(fds[1]);
}

RUN_TESTS(cmocka_unit_test(addresses_are_read_and_written),
	  cmocka_unit_test(other_texts_are_refused),
	  cmocka_unit_test(a_unix_path_may_fill_its_room),
	  cmocka_unit_test(a_socket_has_the_address_it_was_bound_to),
	  cmocka_unit_test(other_sockets_have_no_address),
	  cmocka_unit_test(a_foreign_address_has_no_port_for_us),
	  cmocka_unit_test(a_unix_path_tells_why_it_is_no_good),
	  cmocka_unit_test(a_busy_listener_keeps_its_path),
	  cmocka_unit_test(of_daemons_that_start_at_once_one_listens),
	  cmocka_unit_test(a_daemon_that_stops_removes_its_own_socket))
