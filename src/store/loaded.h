/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Filling struct store_loaded. */

#include "store/store.h"
#include "store/tables.h"

/*
 * The tables that are loaded at start: the operations that have not ended, and all rows of the
 * other tables, in the order of their keys.
 */
bool store_table_is_loaded(enum store_table table);
/* A zeroed row of such a table, at the end of its array. */
void *store_loaded_add(struct store_loaded *loaded, enum store_table table);
/* Notes the id and the times of a row, loaded or not: records made from now on come after it. */
void store_loaded_note(struct store_loaded *loaded, enum store_table table, const void *row);
/* Notes all loaded rows. */
void store_loaded_note_all(struct store_loaded *loaded);
/* Takes out the rows that lack a value without which they are no rows of the model. */
void store_loaded_pass_over(struct store_loaded *loaded);
