/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A configuration that a daemon can run with: the file, and what the files that it names hold. The
 * start, --check-config and a reload read it with the one function below, so they refuse the same,
 * in the same words.
 */

#include "base/secret.h"
#include "config/config.h"
#include "nbd/exporter.h"

struct settings {
	struct config_source source;
	struct config config;
	struct secret *api_key, *secret_key; /* NULL: neither a file nor a credential holds it */
	struct secret *store_password;       /* likewise: the database asks for none */
	gid_t group; /* of unix sockets; (gid_t)-1: http.group does not exist */
};

/*
 * Reads and checks everything that can be judged without opening a store, binding an address or
 * asking another machine; blocks, and may do so for long if users are kept in a directory server.
 * NULL and err, with file and line if one of the file's values is at fault.
 */
struct settings *settings_read(const char *path, bool must_exist, struct err *err);
struct settings *settings_free(struct settings *settings); /* returns NULL, takes NULL */

/* What the configuration says of exports; borrows its texts. */
void settings_exporter_options(const struct settings *settings, struct exporter_options *out);

/* The configured file, otherwise systemd's credential; 0 and nothing in *out if none. */
int settings_read_key(const char *file, const char *credential, enum secret_kind kind,
		      struct secret **out, struct err *err);
