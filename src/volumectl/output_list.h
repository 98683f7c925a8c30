/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of records, as a table or as JSON on stdout. */

#include <volume-client.h>

#include "base/field.h"
#include "volumectl/options.h"

struct output_list;

/* Are the columns that the user named those of the record? 0, or EXIT_USAGE, reported already. */
int output_list_check(const struct record *record, const struct options *options);
/* The caller ends it with output_list_end(). */
struct output_list *output_list_begin(const struct record *record, const struct options *options);
void output_list_page(struct output_list *list, const struct volume_client_value *page);
struct output_list *output_list_end(struct output_list *list); /* returns NULL */
