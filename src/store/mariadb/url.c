/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The address of a database server, or of several that hold the same data. The address stands in a
 * configuration file that people show each other and in logs, so a password has no place in it and
 * is refused without being repeated.
 */

#include "store/mariadb/url.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/buf.h"

#define SCHEME "mariadb://"
#define PORT 3306
#define HOSTS_MAX 16

static const char *const tls_names[] = {
	[MARIADB_TLS_OFF] = "off",
	[MARIADB_TLS_ON] = "on",
	[MARIADB_TLS_VERIFY] = "verify",
};

static int refuse(struct err *err, const char *why)
{
	return err_set_field(err, "store", ERR_INVALID, "the store url %s; it is " MARIADB_EXAMPLE,
			     why);
}

static int parse_port(const char *text, unsigned *out)
{
	uint64_t port;

	if (parse_u64(text, &port) < 0 || port == 0 || port > 65535)
		return -1;
	*out = (unsigned)port;
	return 0;
}

/* "db1", "db1:3307", "[::1]", "[::1]:3307" */
static int parse_host(const char *text, struct mariadb_host *out)
{
	const char *end = *text == '[' ? strchr(text, ']') : strchr(text, ':');
	const char *port;

	out->port = PORT;
	if (*text == '[') {
		if (!end || (end[1] && end[1] != ':'))
			return -1;
		out->name = xstrndup(text + 1, (size_t)(end - text - 1));
		port = end[1] ? end + 2 : NULL;
	} else {
		out->name = end ? xstrndup(text, (size_t)(end - text)) : xstrdup(text);
		port = end ? end + 1 : NULL;
	}
	if (!*out->name)
		return -1;
	return port ? parse_port(port, &out->port) : 0;
}

static int parse_hosts(char *text, struct mariadb_url *out, struct err *err)
{
	char *host, *rest = text;

	while ((host = strsep(&rest, ","))) {
		if (out->host_count == HOSTS_MAX)
			return refuse(err, "names too many hosts");
		out->hosts = xrealloc(out->hosts, (out->host_count + 1) * sizeof(*out->hosts));
		out->hosts[out->host_count] = (struct mariadb_host){ 0 };
		if (parse_host(host, &out->hosts[out->host_count++]) < 0)
			return refuse(err, "names a host that cannot be one");
	}
	return 0;
}

/* Only an address counts, not a name that looks like an address: a name can lead to any machine. */
static bool is_loopback_host(const char *name)
{
	struct in_addr address;

	if (inet_pton(AF_INET, name, &address) == 1)
		return ntohl(address.s_addr) >> 24 == 127;
	return streq(name, "::1") || streq(name, "localhost");
}

static bool is_loopback(const struct mariadb_url *url)
{
	for (size_t i = 0; i < url->host_count; i++) {
		if (!is_loopback_host(url->hosts[i].name))
			return false;
	}
	return true;
}

static int set_tls(struct mariadb_url *url, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(tls_names); i++) {
		if (!streq(tls_names[i], value))
			continue;
		url->tls = (enum mariadb_tls)i;
		return 0;
	}
	return -1;
}

static int parse_options(char *text, struct mariadb_url *out, struct err *err)
{
	const struct {
		const char *name;
		char **slot;
	} paths[] = { { "socket", &out->socket },
		      { "ca", &out->ca },
		      { "cert", &out->cert },
		      { "key", &out->key } };
	char *option, *rest = text;

	while ((option = strsep(&rest, "&"))) {
		char *value = strchr(option, '=');
		size_t i = 0;

		if (!value)
			return refuse(err, "has an option without a value");
		*value++ = '\0';
		if (streq(option, "tls")) {
			if (set_tls(out, value) < 0)
				return refuse(err, "has a tls that is not off, on or verify");
			continue;
		}
		while (i < ARRAY_SIZE(paths) && !streq(paths[i].name, option))
			i++;
		if (i == ARRAY_SIZE(paths))
			return refuse(
				err,
				"has an unknown option (there are socket, tls, ca, cert and key)");
		if (*value != '/')
			return refuse(err, "has a path that does not begin with /");
		str_set(paths[i].slot, value);
	}
	return 0;
}

/* A name that can stand without quotes in a database, in statements and in lock names. */
static bool is_name(const char *text)
{
	if (!*text || strlen(text) > 64)
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("_-$.", *text))
			return false;
	}
	return true;
}

static void show(struct mariadb_url *url)
{
	struct buf text = BUF_NULL;

	buf_printf(&text, SCHEME "%s@", url->user);
	for (size_t i = 0; i < url->host_count; i++) {
		const struct mariadb_host *host = &url->hosts[i];

		if (!host->name)
			buf_add_text(&text, url->socket);
		else
			buf_printf(&text, strchr(host->name, ':') ? "%s[%s]:%u" : "%s%s:%u",
				   i ? "," : "", host->name, host->port);
	}
	buf_printf(&text, "/%s", url->database);
	url->shown = buf_take(&text);
}

static int parse(char *text, struct mariadb_url *out, struct err *err)
{
	char *options = strchr(text, '?'), *at, *slash;

	if (options)
		*options++ = '\0';
	at = strrchr(text, '@');
	if (!at || at == text)
		return refuse(err, "names no user");
	*at++ = '\0';
	if (strchr(text, ':'))
		return refuse(
			err,
			"may not hold a password: put it into a file that [store] password_file names");
	slash = strchr(at, '/');
	if (!slash || !is_name(slash + 1))
		return refuse(err, "names no database (letters, digits, _ - $ and . are possible)");
	*slash = '\0';
	if (!is_name(text))
		return refuse(err, "names a user that cannot be one");
	out->user = xstrdup(text);
	out->database = xstrdup(slash + 1);
	out->tls = MARIADB_TLS_VERIFY;
	if (*at && parse_hosts(at, out, err) < 0)
		return -1;
	if (is_loopback(out))
		out->tls = MARIADB_TLS_OFF;
	if (options && parse_options(options, out, err) < 0)
		return -1;
	if (out->socket && *at && !streq(at, "localhost"))
		return refuse(err, "names a socket and a host");
	/* The library logs in on a socket before we can see whether the server offers TLS. */
	if (out->socket && out->tls != MARIADB_TLS_OFF)
		return refuse(err, "asks for TLS on a socket, which does not leave this machine: "
				   "leave tls= out");
	if (out->socket) {
		for (size_t i = 0; i < out->host_count; i++)
			free(out->hosts[i].name);
		free(out->hosts);
		out->hosts = xnew(struct mariadb_host);
		out->host_count = 1;
	}
	if (out->host_count == 0)
		return refuse(err, "names neither a host nor a socket");
	show(out);
	return 0;
}

int mariadb_url_parse(const char *text, struct mariadb_url *out, struct err *err)
{
	_cleanup_free_ char *copy = NULL;

	*out = (struct mariadb_url){ 0 };
	if (!str_has_prefix(text, SCHEME))
		return refuse(err, "does not begin with " SCHEME);
	copy = xstrdup(text + strlen(SCHEME));
	if (parse(copy, out, err) == 0)
		return 0;
	mariadb_url_clear(out);
	return -1;
}

void mariadb_url_clear(struct mariadb_url *url)
{
	for (size_t i = 0; i < url->host_count; i++)
		free(url->hosts[i].name);
	free(url->hosts);
	free(url->user);
	free(url->database);
	free(url->socket);
	free(url->ca);
	free(url->cert);
	free(url->key);
	free(url->shown);
	*url = (struct mariadb_url){ 0 };
}
