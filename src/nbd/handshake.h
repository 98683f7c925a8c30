/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The beginning of an NBD conversation, as a client has it: greeting, perhaps TLS, and the choice
 * of an export; then a polite farewell. It proves that the export can be used, and tells its size.
 */

#include "io/address.h"
#include "io/loop.h"

struct handshake;
struct ssl_ctx_st;

/*
 * ERR_NONE: the export is offered, with size bytes. ERR_NOT_FOUND: the server knows no such export.
 * ERR_UNAVAILABLE: there is no answer, or none that makes sense.
 */
typedef void (*handshake_done_fn)(void *arg, uint64_t size, const struct err *err);

/*
 * tls outlives the handshake; NULL: no TLS. name NULL: no export, the greeting is all (size 0). The
 * handshake keeps no deadline.
 */
struct handshake *handshake_start(struct loop *loop, const struct address *server,
				  struct ssl_ctx_st *tls, const char *name, handshake_done_fn done,
				  void *arg);
void handshake_cancel(struct handshake *handshake); /* done will not run; not from inside done */
/* Its own TCP port; 0 on a unix socket, or if no connection could be begun. */
int handshake_port(const struct handshake *handshake);
/* What the server has said so far, for the error of a deadline. */
const char *handshake_seen(const struct handshake *handshake);
