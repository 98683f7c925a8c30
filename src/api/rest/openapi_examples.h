/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Examples for the OpenAPI document: JSON texts, each of one line. An operation is named as in
 * methods[]; NULL: there is no example. Private to api/rest/.
 */

/* The arguments of a request, in an object: those of the path, of the query, and of the body. */
const char *openapi_example_arguments(const char *operation);
/* The answer to this request; of the stream of events the data of an event. */
const char *openapi_example_answer(const char *operation);
/* An error with this status. */
const char *openapi_example_error(int status);
