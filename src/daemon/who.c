/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the configuration means for the users of this machine: most of it follows from the kind of
 * the sockets, since only a unix socket tells who its client is. */

#include "daemon/who.h"

#include "base/log.h"
#include "daemon/settings.h"
#include "io/address.h"
#include "nbd/exporter.h"
#include "spec/records.h"

#define EVERY_USER "every local user"
#define TOKENS "programs with a token"

static char *group_words(const struct settings *settings)
{
	if (settings->group == (gid_t)-1)
		return xstrdup("root");
	return xasprintf("root and the group %s", settings->config.http_group);
}

char *who_may_use_rest(const struct settings *settings, bool passed_unix)
{
	const struct config *config = &settings->config;
	_cleanup_free_ char *group = NULL;

	if (address_all_unix(config->http_listen))
		return group_words(settings);
	if (!config->http_require_token && config->http_loopback_access == ACCESS_ADMIN)
		return xstrdup(EVERY_USER);
	if (passed_unix || strstr(config->http_listen, "unix:"))
		group = group_words(settings);
	if (config->http_require_token)
		return xasprintf("%s%s%s", str_or(group, ""), group ? ", " : "", TOKENS);
	return xasprintf("%s%s%s (%s may %s)", str_or(group, ""), group ? ", " : "", TOKENS,
			 EVERY_USER, access_names[config->http_loopback_access]);
}

char *who_may_use_exports(const struct settings *settings, const struct exporter *exporter)
{
	const struct config *config = &settings->config;

	if (!exporter)
		return xstrdup("nobody");
	if (address_all_unix(config->export_listen))
		return group_words(settings);
	if (exporter_verifies_clients(exporter))
		return xstrdup("programs with a client certificate");
	return xstrdup(EVERY_USER);
}

void who_log(const char *rest, const char *nbd)
{
	if (streq(rest, EVERY_USER) || streq(nbd, EVERY_USER))
		log_notice(
			"full access to volumes: over REST %s, over NBD %s; volume-daemon-closed.conf limits it to root and a group, http.require_token to programs with a token",
			rest, nbd);
	else
		log_info("full access to volumes: over REST %s, over NBD %s", rest, nbd);
}
