/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* If names are turned off, removes the names that are left, except names in use. */

struct env;
struct leftover_maps;

struct leftover_maps *leftover_maps_new(struct env *env);
/* returns NULL, takes NULL */
struct leftover_maps *leftover_maps_free(struct leftover_maps *leftover);
/* Removes the names that can be removed now; once none is left this does nothing. */
void leftover_maps_remove(struct leftover_maps *leftover);
