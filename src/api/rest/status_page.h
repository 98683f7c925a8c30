/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The status page: three files that are compiled into the program, from src/api/rest/page/. They
 * are the same for each caller and say nothing of the daemon's state, which the page asks for like
 * any other client. Private to api/rest/.
 */

#include "api/rest/encode.h"
#include "api/rest/routes.h"

struct page_file {
	const char *path; /* "/", "/page.js" */
	const char *type; /* of media */
	size_t size;
	const unsigned char *data;
};

/* Made by page/embed.py; ended by a row without a path. */
extern const struct page_file page_files[];

/* NULL: the target names none of them. */
const struct page_file *status_page_find(const struct route_target *target);
void status_page_send(struct rest_encoder *encoder, struct evhttp_request *http,
		      const struct page_file *file, bool gzip);
