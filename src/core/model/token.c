/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A token is random and long, so its digest needs no salt, and nobody finds the token by trying.
 * All digests are compared, each in the same time, so that the time of an answer says nothing of
 * them.
 */

#include "core/model/token.h"

#include "core/model/model.h"
#include "io/digest.h"

struct token *token_first(const struct model *model)
{
	return model->tokens;
}

size_t token_count(const struct model *model)
{
	return HASH_COUNT(model->tokens);
}

struct token *token_find(struct model *model, const char *name)
{
	struct token *token;

	HASH_FIND_STR(model->tokens, name, token);
	return token;
}

const struct token *token_recognise(const struct model *model, const char *text)
{
	const struct token *token, *found = NULL;
	char digest[DIGEST_TEXT_SIZE];

	if (!digest_make(text, strlen(text), digest))
		return NULL;
	for (token = token_first(model); token; token = token_next(token)) {
		if (digest_equals(token->record.digest, digest))
			found = token;
	}
	return found;
}

static int by_name(const struct token *a, const struct token *b)
{
	return strcmp(a->record.id, b->record.id);
}

void token_put(struct model *model, const struct token_record *record)
{
	struct token *token = xnew(struct token);

	token_drop(model, record->id);
	record_copy(&token_row, &token->record, record);
	HASH_ADD_KEYPTR(hh, model->tokens, token->record.id, strlen(token->record.id), token);
	HASH_SORT(model->tokens, by_name);
}

static void token_free(struct model *model, struct token *token)
{
	HASH_DEL(model->tokens, token);
	record_clear(&token_row, &token->record);
	free(token);
}

void token_drop(struct model *model, const char *name)
{
	struct token *token = token_find(model, name);

	if (token)
		token_free(model, token);
}

void tokens_forget(struct model *model)
{
	struct token *token, *next;

	HASH_ITER(hh, model->tokens, token, next)
		token_free(model, token);
}
