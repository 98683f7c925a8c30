/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * TLS of the server: its certificate, and the connections that are encrypted with it. Private to
 * api/rest/.
 */

#include <event2/bufferevent.h>

#include "base/err.h"
#include "io/loop.h"

struct rest_tls;

/*
 * What health says of the certificate has changed: "healthy", or what is wrong with it, in words
 * for people.
 */
typedef void (*rest_tls_changed_fn)(void *arg, const char *words);

/*
 * With server-cert.pem and server-key.pem of the folder. NULL and err if they are missing, if
 * others may read the key, or if the key belongs to another certificate; a certificate that has
 * expired is only told. changed comes before the function returns. Blocks for reading two small
 * files.
 */
struct rest_tls *rest_tls_open(struct loop *loop, const char *dir, rest_tls_changed_fn changed,
			       void *arg, struct err *err);
/* -1 and err if rest_tls_open() would refuse the folder. Blocks likewise. */
int rest_tls_check(const char *dir, struct err *err);
struct rest_tls *rest_tls_close(struct rest_tls *tls); /* returns NULL, takes NULL */
/*
 * Looks, on a thread, whether the files are still those that are in use, and reads them anew if
 * not, for connections that come afterwards. If they are of no use the earlier ones stay, and
 * changed says why. A new connection begins such a look by itself, at most once a second.
 */
void rest_tls_look(struct rest_tls *tls);
/* Is the certificate for this name or address? An address of IPv6 has no brackets. */
bool rest_tls_is_for(const struct rest_tls *tls, const char *host);

/* The stream of a connection that will be accepted; its socket is closed with it. */
struct bufferevent *rest_tls_accept(struct rest_tls *tls, struct event_base *base);

/* ---- any stream of the server, encrypted or not ---- */

bool stream_is_encrypted(struct bufferevent *stream);
/* All was written, and nothing follows; reading goes on. */
void stream_end_output(struct bufferevent *stream);
/* The connection will be closed now. */
void stream_leave(struct bufferevent *stream);
