/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store keeps a caller as it was when it asked: its user may be renamed, its connection ends.
 * So the JSON holds names and numbers, and words are made of it only when it is shown.
 */

#include "core/methods/caller.h"

#include <inttypes.h>

#include "base/json.h"

void caller_copy(struct caller *to, const struct caller *from)
{
	*to = *from;
	to->token = xstrdup(from->token);
	to->bus_name = xstrdup(from->bus_name);
	to->address = xstrdup(from->address);
}

void caller_clear(struct caller *caller)
{
	freep(&caller->token);
	freep(&caller->bus_name);
	freep(&caller->address);
}

static void put_text(struct json_writer *w, const char *name, const char *text)
{
	if (!str_empty(text))
		json_put_member(w, name, text);
}

char *caller_to_json(const struct caller *caller, const char *user)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	json_begin_object(&w);
	put_text(&w, "surface", caller->surface);
	if (caller->has_uid) {
		json_put_name(&w, "uid");
		json_put_uint(&w, caller->uid);
	}
	put_text(&w, "user", user);
	put_text(&w, "token", caller->token);
	put_text(&w, "bus_name", caller->bus_name);
	put_text(&w, "address", caller->address);
	json_end_object(&w);
	return buf_take(&out);
}

static void add_user(const struct json *caller, struct buf *out)
{
	const char *user = json_text(json_get(caller, "user"));
	int64_t uid;

	if (json_integer(json_get(caller, "uid"), &uid) < 0)
		return;
	if (user)
		buf_printf(out, "user %s (%" PRId64 ")", user, uid);
	else
		buf_printf(out, "user %" PRId64, uid);
}

static void add_member(const struct json *caller, const char *name, const char *before,
		       struct buf *out)
{
	const char *text = json_text(json_get(caller, name));

	if (text)
		buf_printf(out, "%s%s%s", out->length ? ", " : "", before, text);
}

void caller_words(const char *json, struct buf *out)
{
	_cleanup_json_ struct json *caller = json ? json_parse(json, strlen(json), NULL) : NULL;

	if (!caller)
		return;
	if (streq(json_text(json_get(caller, "surface")), "daemon")) {
		buf_add_text(out, "volume-daemon");
		return;
	}
	add_user(caller, out);
	add_member(caller, "token", "token ", out);
	add_member(caller, "bus_name", "connection ", out);
	add_member(caller, "address", "address ", out);
}
