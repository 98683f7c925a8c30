/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A small HTTP server on 127.0.0.1 for the tests, on threads of its own, that misbehaves on
 * request: what it does is told by the path. It speaks plain HTTP, or TLS with a certificate of its
 * own.
 *
 *   /ok        200, "hello", application/json, with a Date; the connection is kept
 *   /echo      200, the request's body
 *   /status/N  status N with a short body
 *   /redirect  302 to /ok
 *   /moved     302 to another server, with a user, a password and a query
 *   /large     200 and 100000 bytes
 *   /half      announces 100 bytes, sends 10 and closes
 *   /nothing   closes without an answer
 *   /leave     as /ok, but closes afterwards without having said so
 *   /hold      answers as /ok when the gate is opened; posts `held` when the request is there,
 * `gone` if the client has left
 */

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

struct http_server {
	int port;
	atomic_int connections; /* accepted */
	atomic_int requests;    /* whole requests received */
	atomic_int holding, most_holding;
	sem_t held, gone, gate, closed;
	/* head and body of the last request; read it when the server is at rest */
	char last_request[16384];
	char hold_order[64]; /* the last character of each /hold path, in order of arrival */
	char ca_file[64];    /* with TLS: its certificate */

	pthread_mutex_t lock; /* of the two texts while they are written */
	int listener;
	void *tls; /* SSL_CTX */
	pthread_t thread;
	struct http_server_connection *first;
};

struct http_server *http_server_new(bool tls);
/* With TLS; the certificate is valid in this time, in seconds from now. */
struct http_server *http_server_new_valid(long from_s, long to_s);
void http_server_free(struct http_server *server);
