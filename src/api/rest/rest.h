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
	 * "127.0.0.1:8090 https://192.0.2.7:8443 unix:/run/volume-daemon/http.sock", …, with blanks
	 * or commas between them. An address that is not loopback needs https:// and require_token.
	 */
	const char *listen;
	/* with server-cert.pem and server-key.pem; set if, and only if, listen has https:// */
	const char *tls_dir;
	/* of unix sockets: its members may connect. (gid_t)-1: none, there is no such group */
	gid_t group;
	const char *group_name;
	/*
	 * Listening sockets that a service manager has opened, besides those of listen; taken over.
	 * If listen names the address of such a socket, it is not bound anew, and may be https://.
	 * All others must be loopback or unix, and TCP is refused if listen names unix sockets
	 * only.
	 */
	const int *passed;
	size_t passed_count;
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

/*
 * Each is -1 and err if rest_open() would refuse the addresses with what they need, or the
 * certificate in this folder; what other programs have taken is not looked at. The second blocks
 * for reading two small files.
 */
int rest_check_listen(const struct rest_options *options, struct err *err);
int rest_check_certificate(const char *tls_dir, struct err *err);
struct rest *rest_open(struct loop *loop, struct core *core, const struct rest_options *options,
		       struct err *err);
/* Sets what may change: max_requests, max_connections, access, require_token and limits; for
 * requests and connections that come from now on. */
void rest_set_limits(struct rest *rest, const struct rest_options *options);
/* the port really bound, of the first TCP address; 0: there is none */
int rest_port(const struct rest *rest);
/* The n-th address, from 0, as "http://127.0.0.1:8090", with https, or "unix:/path"; false: there
 * are fewer. */
bool rest_address(const struct rest *rest, size_t n, char *out, size_t size);
/* Looks soon whether the files of the certificate are still those in use, and reads new ones
 * (tls.h). Health and the log say if these are of no use. */
void rest_renew_certificate(struct rest *rest);
/* accept nothing more; answers carry Connection: close, long polls are answered now */
void rest_drain(struct rest *rest);
size_t rest_in_flight(const struct rest *rest);
/* Connections whose client sends a request, is about to send its first one, or reads an answer. A
 * connection that is closed then breaks off. */
size_t rest_under_way(const struct rest *rest);
/* cancels the requests in flight; returns NULL, takes NULL */
struct rest *rest_close(struct rest *rest);
