/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A store that a tool works on. */

#include "base/secret.h"
#include "io/loop.h"
#include "store/rows.h"

#define PLACE_PAGE 500 /* rows read, and written, at once */

/* An open store; the place keeps its password meanwhile. */
struct place {
	struct loop *loop;
	struct store *store;
	struct secret *password;
	const char *url;
};
/* A missing file is made only if rows are to be copied into it. */
int place_open(struct place *place, const char *url, const char *password_file, bool must_exist,
	       struct err *err);
void place_close(struct place *place);

/* Every row of a table, page by page. */
int place_scan(struct place *place, enum store_table table, store_row_fn fn, void *arg,
	       struct err *err);
/* The id of a row: its first column. */
const char *row_id(enum store_table table, const void *row);
