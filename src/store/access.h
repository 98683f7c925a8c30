/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A look at the values about CloudStack that another program keeps, from inside. */

#include "store/item.h"

struct store_look {
	struct store_item item;
	char *mark; /* NULL: read in any case */
	struct store_access access;
	store_access_fn done;
	void *arg;
};

struct store_look *store_look_of(struct store_item *item);
