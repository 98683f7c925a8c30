/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as configurations write them, and ports of real sockets on loopback. */
#include "unit.h"

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
		char text[128];

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
	struct address address;
	struct err err = { 0 };

	memset(text + strlen(text), 'x', LONGEST_PATH - 1);
	address = parsed(text);
	assert_string_equal(address.sa.local.sun_path, text + strlen("unix:"));
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

RUN_TESTS(cmocka_unit_test(addresses_are_read_and_written),
	  cmocka_unit_test(other_texts_are_refused),
	  cmocka_unit_test(a_unix_path_may_fill_its_room),
	  cmocka_unit_test(a_socket_has_the_address_it_was_bound_to),
	  cmocka_unit_test(other_sockets_have_no_address),
	  cmocka_unit_test(a_foreign_address_has_no_port_for_us))
