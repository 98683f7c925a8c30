/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The REST interface as an OpenAPI 3.1 document: every path, argument, answer and error, for
 * programs that check requests and replies or generate clients. It is printed from methods[], the
 * table that also serves, so the two cannot differ.
 */

#include "base/buf.h"

#define OPENAPI_PATH "/api/v1/openapi.json"

/* Appends the document, JSON without line ends. */
void rest_openapi(struct buf *out);
