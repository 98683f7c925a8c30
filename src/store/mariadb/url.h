/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The address of a database server, or of several that hold the same data. */

#include "base/err.h"

enum mariadb_tls { MARIADB_TLS_OFF, MARIADB_TLS_ON, MARIADB_TLS_VERIFY };

struct mariadb_host {
	char *name; /* NULL: the socket */
	unsigned port;
};

struct mariadb_url {
	struct mariadb_host *hosts; /* in the order they are tried, at least one */
	size_t host_count;
	char *user;
	char *database;
	char *socket;
	enum mariadb_tls tls;
	char *ca, *cert, *key; /* PEM files, NULL: the system's, none, none */
	char *shown;           /* for logs and errors; holds no secret, since the url holds none */
};

#define MARIADB_EXAMPLE "mariadb://volumed@db1.example.org,db2.example.org/volumes"

/* "mariadb://user@host[:port],…/database?option=value&…". A password in it is refused. */
int mariadb_url_parse(const char *text, struct mariadb_url *out, struct err *err);
void mariadb_url_clear(struct mariadb_url *url);
