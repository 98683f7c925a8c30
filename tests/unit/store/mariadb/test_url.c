/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which addresses of database servers can be used, and that a password in one is refused without
 * being repeated. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/mariadb/url.h"

static void urls_that_can_be_used(void **state)
{
	static const struct {
		const char *text, *shown;
		size_t hosts;
		enum mariadb_tls tls;
	} rows[] = {
		{ "mariadb://u@db1/v", "mariadb://u@db1:3306/v", 1, MARIADB_TLS_VERIFY },
		{ "mariadb://u@db1:3307,db2/v", "mariadb://u@db1:3307,db2:3306/v", 2,
		  MARIADB_TLS_VERIFY },
		{ "mariadb://u@127.0.0.1,[::1]:3307/v", "mariadb://u@127.0.0.1:3306,[::1]:3307/v",
		  2, MARIADB_TLS_OFF },
		{ "mariadb://u@127.example.org/v", "mariadb://u@127.example.org:3306/v", 1,
		  MARIADB_TLS_VERIFY },
		{ "mariadb://u@127.0.0.1,db2/v", "mariadb://u@127.0.0.1:3306,db2:3306/v", 2,
		  MARIADB_TLS_VERIFY },
		{ "mariadb://u@db1/v?tls=on", "mariadb://u@db1:3306/v", 1, MARIADB_TLS_ON },
		{ "mariadb://u@127.0.0.1/v?tls=verify&ca=/c", "mariadb://u@127.0.0.1:3306/v", 1,
		  MARIADB_TLS_VERIFY },
		{ "mariadb://u@/v?socket=/run/s", "mariadb://u@/run/s/v", 1, MARIADB_TLS_OFF },
		{ "mariadb://u@localhost/v?socket=/run/s", "mariadb://u@/run/s/v", 1,
		  MARIADB_TLS_OFF },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mariadb_url url;
		struct err err = { 0 };

		assert_int_equal(mariadb_url_parse(rows[i].text, &url, &err), 0);
		assert_string_equal(url.shown, rows[i].shown);
		assert_int_equal(url.host_count, rows[i].hosts);
		assert_int_equal(url.tls, rows[i].tls);
		assert_string_equal(url.user, "u");
		assert_string_equal(url.database, "v");
		mariadb_url_clear(&url);
	}
}

static void urls_that_cannot(void **state)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{ "mariadb://u:geheim@db1/v", "password_file" },
		{ "mariadb://u:ge@heim@db1/v", "password_file" },
		{ "mariadb:u@db1/v", "mariadb://" },
		{ "mariadb://db1/v", "user" },
		{ "mariadb://@db1/v", "user" },
		{ "mariadb://u@db1", "database" },
		{ "mariadb://u@db1/", "database" },
		{ "mariadb://u@db1/v/w", "database" },
		{ "mariadb://u@db1/v`; DROP", "database" },
		{ "mariadb://u@/v", "neither" },
		{ "mariadb://u@db1,,db2/v", "host" },
		{ "mariadb://u@db1:0/v", "host" },
		{ "mariadb://u@db1:99999/v", "host" },
		{ "mariadb://u@[::1/v", "host" },
		{ "mariadb://u@db1/v?tls=maybe", "tls" },
		{ "mariadb://u@db1/v?colour=red", "unknown option" },
		{ "mariadb://u@db1/v?ca=relative", "path" },
		{ "mariadb://u@db1/v?ca", "without a value" },
		{ "mariadb://u@db1/v?socket=/s", "a socket and a host" },
		{ "mariadb://u@localhost/v?socket=/s&tls=on", "TLS on a socket" },
		{ "mariadb://u@/v?tls=verify&socket=/s", "TLS on a socket" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mariadb_url url;
		struct err err = { 0 };

		assert_int_equal(mariadb_url_parse(rows[i].text, &url, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.field, "store");
		if (!strstr(err.text, rows[i].part))
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_null(strstr(err.text, "heim"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_that_can_be_used),
		cmocka_unit_test(urls_that_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
