/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The socket REST listens on. Private to api/rest/. */

#include <event2/listener.h>

#include "io/address.h"
#include "io/loop.h"

/*
 * fd, an activated socket, is taken over in any case; -1: text says where. out is the address
 * really bound. NULL and err when it cannot be had or is not a loopback address.
 */
struct evconnlistener *rest_listen(struct loop *loop, const char *text, int fd, struct address *out,
				   struct err *err);
