/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tokens that programs show over REST. The daemon knows the digest of a token, not the token.
 */

#include "base/hash.h"
#include "spec/records.h"

struct model;

struct token {
	struct token_record record; /* as stored */
	UT_hash_handle hh;
};

/* All, by name; token_next() is NULL after the last. */
struct token *token_first(const struct model *model);
static inline struct token *token_next(const struct token *token)
{
	return token->hh.next;
}
size_t token_count(const struct model *model);
struct token *token_find(struct model *model, const char *name);
/* The token whose text this is; NULL: there is none. */
const struct token *token_recognise(const struct model *model, const char *text);
/* After the commit: puts the record into the model. */
void token_put(struct model *model, const struct token_record *record);
void token_drop(struct model *model, const char *name);
void tokens_forget(struct model *model);
