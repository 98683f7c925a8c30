/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Objects by the names that people give them. */

#include "volumectl/request.h"

/*
 * The UUID of the one object of this kind (volume_record, vm_record, offering_record, zone_record)
 * that has the name, or whose UUID begins with the text. ERR_NOT_FOUND: there is none.
 * ERR_CONFLICT: there are several, and the text of the error lists them. The caller frees *id.
 */
int names_find(struct ctl *ctl, const struct record *kind, const char *text, char **id,
	       struct err *err);
/* The ids for all names of the request. */
int names_resolve(struct ctl *ctl, struct request *request, struct err *err);
/* The method that lists the objects of a kind; NULL: there is none. */
const struct method *names_lister(const struct record *kind);
