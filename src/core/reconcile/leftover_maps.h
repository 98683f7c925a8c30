/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where names are turned off: those there were go, but for what is in use. */

struct env;
struct leftover_maps;

struct leftover_maps *leftover_maps_new(struct env *env);
/* returns NULL, takes NULL */
struct leftover_maps *leftover_maps_free(struct leftover_maps *leftover);
/* Removes what can be removed now; once nothing is left this does nothing. */
void leftover_maps_remove(struct leftover_maps *leftover);
