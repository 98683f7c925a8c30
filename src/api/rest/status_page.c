/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A page that shows texts of others (names of volumes, errors of CloudStack) must not run them. It
 * puts them in as text, and the policy below is the second wall: the browser takes scripts and
 * styles from these files alone, connects to nobody else, and shows the page in no frame.
 */

#include "api/rest/status_page.h"

static const char *const headers[][2] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
	  "require-trusted-types-for 'script'; trusted-types 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
};

const struct page_file *status_page_find(const struct route_target *target)
{
	for (const struct page_file *file = page_files; file->path; file++) {
		if (route_target_is(target, file->path))
			return file;
	}
	return NULL;
}

void status_page_send(struct rest_encoder *encoder, struct evhttp_request *http,
		      const struct page_file *file, bool gzip)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(http);
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		evhttp_add_header(out, headers[i][0], headers[i][1]);
	buf_add(&text, file->data, file->size);
	rest_reply_text(encoder, http, file->type, &text, gzip);
}
