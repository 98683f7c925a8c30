/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells that clients leave whose requests wait and whose connections evhttp does not read
 * meanwhile. Private to api/rest/. */

#include "base/err.h"
#include "io/loop.h"

struct watch;

/*
 * item's client has closed its end of the connection; is_reset: both ends. Told once for each of
 * the two. The function may remove any item.
 */
typedef void (*watch_fn)(void *item, bool is_reset);

/* NULL and err if there is no descriptor for it. */
struct watch *watch_new(struct loop *loop, watch_fn left, struct err *err);
struct watch *watch_free(struct watch *watch); /* returns NULL, takes NULL */
void watch_add(struct watch *watch, int fd, void *item);
void watch_remove(struct watch *watch, int fd); /* before the descriptor is closed */
