/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store copy" */

#include "storectl/place.h"

/*
 * Copies every row of one store into another, which must be empty; then compares both. Tells the
 * result on stdout.
 */
int copy_stores(struct place *from, struct place *to, struct err *err);
