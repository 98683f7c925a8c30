/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The socket REST listens on. Private to api/rest/. */

#include <event2/listener.h>

#include "io/address.h"
#include "io/loop.h"

/*
 * fd, an activated socket, is taken over in any case; with -1, text names the address. out is the
 * address really bound. Returns NULL and fills err if the address cannot be bound or is not
 * loopback.
 */
struct evconnlistener *rest_listen(struct loop *loop, const char *text, int fd, struct address *out,
				   struct err *err);
