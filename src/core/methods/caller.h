/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who has made a call: kept with the call, as JSON for the store, and in words for people. */

#include "base/buf.h"
#include "core/call.h"

void caller_copy(struct caller *to, const struct caller *from);
void caller_clear(struct caller *caller); /* a copy */

/*
 * {"surface":"rest","uid":1000,"user":"alice",…}: what is known, and no other members. user may be
 * NULL. To be freed.
 */
char *caller_to_json(const struct caller *caller, const char *user);

/* That JSON in words, such as "user alice (1000)"; nothing is added if it cannot be read. */
void caller_words(const char *json, struct buf *out);
