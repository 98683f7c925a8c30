/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store check" */

#include "storectl/place.h"

/* *bad: the number of rows that break a rule; each is named on stdout. */
int check_store(struct place *place, size_t *bad, struct err *err);
