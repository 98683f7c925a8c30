/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Removes old operations from the store, from now on. */

struct env;
struct retention;

struct retention *retention_new(struct env *env);
struct retention *retention_free(struct retention *retention); /* returns NULL, takes NULL */
