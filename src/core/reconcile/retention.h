/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Removes old operations from the store, from now on. */

struct env;
struct retention;

struct retention *retention_new(struct env *env);
/* The age of the options is another one now. */
void retention_retune(struct retention *retention);
struct retention *retention_free(struct retention *retention); /* returns NULL, takes NULL */
