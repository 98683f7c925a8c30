/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists that come in pages. */

#include "volumectl/request.h"

/* The items of a page; the list is the caller's. */
typedef void (*listing_page_fn)(void *arg, const struct volume_client_value *list);

/*
 * Asks for the list of a method (ANSWER_MANY) and hands on its pages, to its end or to the
 * request's limit; the first page is handed on even if it is empty. Changes limit and cursor of the
 * request.
 */
int listing_read(struct ctl *ctl, struct request *request, listing_page_fn on_page, void *arg,
		 struct err *err);
/* The same for the operations with this status. */
int listing_operations(struct ctl *ctl, enum operation_status status, listing_page_fn on_page,
		       void *arg, struct err *err);
