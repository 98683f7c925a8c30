/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A store that a tool works on. */

#include "base/secret.h"
#include "io/loop.h"
#include "store/rows.h"

#define PLACE_PAGE 500 /* rows written, and compared, at once */

/* An open store; the place keeps its password meanwhile. */
struct place {
	struct loop *loop;
	struct store *store;
	struct secret *password;
	const char *url;
	bool unchecked; /* set before the opening: as in struct store_options */
};
/* A missing file is made only if rows are to be copied into it. */
int place_open(struct place *place, const char *url, const char *password_file, bool must_exist,
	       struct err *err);
void place_close(struct place *place);
