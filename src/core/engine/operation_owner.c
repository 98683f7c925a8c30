/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One user, or one program with a token, could otherwise fill all places for operations. The owner
 * is read from the caller that is stored with the operation, so that a restart does not free
 * places.
 */

#include "core/engine/operation_owner.h"

#include <inttypes.h>

char *operation_owner(const char *caller)
{
	_cleanup_json_ struct json *json = caller ? json_parse(caller, strlen(caller), NULL) : NULL;
	const char *token = json_text(json_get(json, "token"));
	int64_t uid;

	if (token)
		return xasprintf("token %s", token);
	if (!streq(json_text(json_get(json, "surface")), "rest") ||
	    json_integer(json_get(json, "uid"), &uid) < 0 || uid == 0 || uid == geteuid())
		return NULL;
	return xasprintf("user %" PRId64, uid);
}

size_t operation_count_of(const struct engine *engine, const char *owner)
{
	const struct operation *operation = operation_first(engine);
	size_t count = 0;

	for (; operation; operation = operation_after(operation))
		count += streq(operation->owner, owner);
	return count;
}
