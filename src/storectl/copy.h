/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store copy" */

#include "storectl/place.h"

/* Every row of one store into another, which must be empty; then both are compared. Tells on stdout
 * what it did. */
int copy_stores(struct place *from, struct place *to, struct err *err);
