/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * REST over HTTP, built from methods[]: a route is a row's verb and path, arguments come from the
 * path, the query string and a JSON body, answers are records as JSON.
 */

#include "core/core.h"

struct rest;

/* 0: no such limit. */
struct rest_limits {
	/* a second, and connections at the same time, of one user of a unix socket and of one token
	 */
	size_t requests, connections;
	/* of all together who show no token over TCP */
	size_t anonymous_requests, anonymous_connections;
};

struct rest_options {
	/*
	 * "127.0.0.1:8090 unix:/run/volume-daemon/http.sock", …: loopback and unix sockets only,
	 * with blanks or commas between them
	 */
	const char *listen;
	/* of unix sockets: its members may connect. (gid_t)-1: none, there is no such group */
	gid_t group;
	const char *group_name;
	/*
	 * an activated socket instead, -1 none; taken over. TCP is refused if listen names unix
	 * sockets only.
	 */
	int listen_fd;
	/*
	 * requests in flight at once, and as many long polls besides; more get 429, as do those of
	 * one user of a unix socket above the half, unless it is root or the daemon's user
	 */
	size_t max_requests;
	/* open at once; above, those that have done nothing for the longest time are closed */
	size_t max_connections;
	/*
	 * what callers over TCP may do who show no token; those of unix sockets may do everything
	 */
	enum method_access access;
	bool require_token; /* callers over TCP who show none are refused */
	struct rest_limits limits;
};

/* The form of the addresses, and that no other machine can connect to them. */
int rest_check_listen(const char *text, struct err *err);
struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options,
		       struct err *err);
/* Sets what may change: max_requests, max_connections, access, require_token and limits; for
 * requests and connections that come from now on. */
void rest_set_limits(struct rest *rest, const struct rest_options *options);
/* the port really bound, of the first TCP address; 0: there is none */
int rest_port(const struct rest *rest);
/* The n-th address, from 0, as "http://127.0.0.1:8090" or "unix:/path"; false: there are fewer. */
bool rest_address(const struct rest *rest, size_t n, char *out, size_t size);
/* accept nothing more; answers carry Connection: close, long polls are answered now */
void rest_drain(struct rest *rest);
size_t rest_in_flight(const struct rest *rest);
/* cancels the requests in flight; returns NULL, takes NULL */
struct rest *rest_close(struct rest *rest);
