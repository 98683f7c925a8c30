/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The guards that a request must pass.
 *
 * The daemon trusts the machine it runs on, but not the web pages that are opened on this machine.
 * A page can make a browser send requests to 127.0.0.1, directly (then the browser adds an Origin,
 * or at least says in Sec-Fetch-Site that another site asks, as for an image or a link) or through
 * a host name of the page's owner that leads there (then Host is that name). Both are refused, and
 * a request from a browser needs the content type that pages cannot send without asking first, see
 * decode.c.
 *
 * Over TLS the names in the certificate are names of this server as well: a client compares them
 * with the name that it asked for, so a foreign name comes no further than the certificate.
 */

#include "api/rest/auth.h"

#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <strings.h>

#include "api/rest/tls.h"
#include "base/queue.h"

/* These headers may come only once: programs on the way would differ in which copy they read. */
static int take_header(const char **slot, const struct evkeyval *header, struct err *err)
{
	if (*slot)
		return err_set(err, ERR_INVALID, "the header %s is given twice", header->key);
	*slot = header->value;
	return 0;
}

static int walk_headers(struct evhttp_request *http, struct rest_headers *out, struct err *err)
{
	const struct {
		const char *name;
		const char **slot;
	} once[] = {
		{ "Host", &out->host },
		{ "Origin", &out->origin },
		{ "Content-Encoding", &out->content_encoding },
		{ "Content-Type", &out->content_type },
		{ "Idempotency-Key", &out->idempotency_key },
		{ "Authorization", &out->authorization },
		{ "Sec-Fetch-Site", &out->fetch_site },
	};
	struct evkeyval *header;

	TAILQ_FOREACH(header, evhttp_request_get_input_headers(http), next) {
		for (size_t i = 0; i < ARRAY_SIZE(once); i++) {
			if (strcasecmp(header->key, once[i].name) == 0 &&
			    take_header(once[i].slot, header, err) < 0)
				return -1;
		}
		if (strncasecmp(header->key, "Sec-Fetch-", strlen("Sec-Fetch-")) == 0)
			out->browser = header->key;
	}
	if (out->origin)
		out->browser = "Origin";
	return 0;
}

/* The length of the name in "name" or "name:port", 0 if no port follows the colon. */
static size_t host_name_length(const char *host)
{
	size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	const char *port;
	uint64_t number;

	if (length > strlen(host))
		return 0;
	port = host + length;
	if (*port == '\0')
		return length;
	return *port == ':' && parse_u64(port + 1, &number) == 0 && number <= UINT16_MAX ? length
											 : 0;
}

/* The name in a Host header, without port and brackets; to be freed, NULL: there is none. */
static char *host_name(const char *host)
{
	size_t length = host_name_length(host);

	if (length >= 2 && host[0] == '[')
		return xstrndup(host + 1, length - 2);
	return length > 0 ? xstrndup(host, length) : NULL;
}

static bool host_is_ours(const struct rest_place *place, const char *host)
{
	const char *const names[] = { "localhost", "127.0.0.1", "::1", place->address };
	_cleanup_free_ char *name = host_name(host);

	if (str_empty(name))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return place->tls && rest_tls_is_for(place->tls, name);
}

/* The server's own pages have the Origin "http://" and the requested Host, port included. */
static bool origin_is_ours(const struct rest_place *place, const char *origin, const char *host)
{
	const char *scheme = place->tls ? "https://" : "http://";
	size_t length = strlen(scheme);

	return host && strncasecmp(origin, scheme, length) == 0 &&
	       strcasecmp(origin + length, host) == 0;
}

int rest_auth(struct evhttp_request *http, const struct rest_place *place, struct rest_headers *out,
	      struct err *err)
{
	*out = (struct rest_headers){ 0 };
	if (walk_headers(http, out, err) < 0)
		return -1;
	if (!out->host) {
		if (http->major > 1 || (http->major == 1 && http->minor >= 1))
			return err_set(err, ERR_INVALID, "the header Host is missing");
	} else if (!host_is_ours(place, out->host)) {
		return err_set(
			err, ERR_MISDIRECTED,
			place->tls
				? "this server answers to localhost, the address it listens on and the names in its "
				  "certificate, not to Host '%s'"
				: "this server answers to localhost and the address it listens on, not to Host '%s'",
			out->host);
	}
	if (out->origin && !origin_is_ours(place, out->origin, out->host))
		return err_set(err, ERR_FORBIDDEN, "requests from the origin '%s' are not allowed",
			       out->origin);
	if (!out->origin && out->fetch_site && !streq(out->fetch_site, "same-origin") &&
	    !streq(out->fetch_site, "none"))
		return err_set(err, ERR_FORBIDDEN,
			       "requests from other sites are not allowed (Sec-Fetch-Site: %s)",
			       out->fetch_site);
	return 0;
}

int rest_auth_token(const struct rest_headers *headers, const char **out, struct err *err)
{
	static const char scheme[] = "Bearer ";
	const char *value = headers->authorization;

	*out = NULL;
	if (!value)
		return 0;
	if (strncasecmp(value, scheme, strlen(scheme)) != 0)
		return err_set(
			err, ERR_UNAUTHORIZED,
			"the header Authorization must be \"Bearer TOKEN\", with a token that "
			"'volumectl token create' has made");
	value += strlen(scheme);
	*out = value + strspn(value, " ");
	return 0;
}
