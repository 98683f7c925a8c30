/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sockets REST listens on. Private to api/rest/. */

#include <event2/listener.h>

#include "api/rest/peer.h"
#include "io/address.h"
#include "io/loop.h"

#define REST_LISTENERS_MAX 8

struct rest_listeners {
	struct evconnlistener *items[REST_LISTENERS_MAX];
	struct address addresses[REST_LISTENERS_MAX];  /* really bound */
	bool is_encrypted[REST_LISTENERS_MAX];         /* by TLS */
	struct address_file files[REST_LISTENERS_MAX]; /* of unix sockets of our own */
	size_t count;
};

struct rest_options;

/*
 * After rest_check_listen(). The passed sockets of the options are taken over in any case. -1 and
 * err if one of them is no good, or one of the addresses in the text cannot be bound; nothing
 * listens then. The items belong to the caller.
 */
int rest_listen(struct loop *loop, const struct rest_options *options, struct rest_listeners *out,
		struct err *err);
/* Removes the files of unix sockets, while their listeners are still there. */
void rest_unlink_sockets(const struct rest_listeners *listeners);
