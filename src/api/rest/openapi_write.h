/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pieces of the OpenAPI document. Private to api/rest/. */

#include "base/json.h"

static inline void begin_member(struct json_writer *w, const char *name)
{
	json_put_name(w, name);
	json_begin_object(w);
}

static inline void put_reference(struct json_writer *w, const char *kind, const char *name)
{
	_cleanup_buf_ struct buf path = BUF_NULL;

	buf_printf(&path, "#/components/%s/%s", kind, name);
	json_begin_object(w);
	json_put_member(w, "$ref", path.data);
	json_end_object(w);
}

/* The schema of an object that has the members that follow, and no others. */
static inline void begin_closed_object(struct json_writer *w)
{
	json_put_member(w, "type", "object");
	json_put_name(w, "additionalProperties");
	json_put_bool(w, false);
	begin_member(w, "properties");
}
