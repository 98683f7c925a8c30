/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A token is made here, told once in the answer, and wiped. It can be used when it is durable, and
 * not any more when its removal is.
 */

#include "core/methods/token_methods.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/methods/plan.h"
#include "core/model/commit.h"
#include "core/model/token.h"
#include "io/digest.h"

/* So that a token is recognised where it has got into a log or a repository by mistake. */
#define PREFIX "vold_"
#define RANDOM_BYTES 32
#define TEXT_SIZE (sizeof(PREFIX) + (size_t)2 * RANDOM_BYTES)
#define TOKENS_MAX 256

/* The token between its making and its answer. */
struct fresh {
	char text[TEXT_SIZE];
};

static void fresh_free(void *state)
{
	explicit_bzero(state, sizeof(struct fresh));
	free(state);
}

static int fresh_make(struct fresh *fresh, char digest[DIGEST_TEXT_SIZE], struct err *err)
{
	unsigned char bytes[RANDOM_BYTES];
	size_t length;

	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes))
		return err_set(err, ERR_UNAVAILABLE,
			       "the kernel has no random bytes yet; try again later");
	length = (size_t)snprintf(fresh->text, TEXT_SIZE, PREFIX);
	for (size_t i = 0; i < sizeof(bytes); i++)
		length += (size_t)snprintf(fresh->text + length, TEXT_SIZE - length, "%02x",
					   bytes[i]);
	explicit_bzero(bytes, sizeof(bytes));
	if (!digest_make(fresh->text, length, digest))
		return err_set(err, ERR_INTERNAL, "libcrypto has no SHA-256");
	return 0;
}

/* A name stands in paths and logs. */
static int check_name(const char *name, struct err *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (name[strspn(name, allowed)] || *name == '.')
		return err_set_field(
			err, "name", ERR_INVALID,
			"the name of a token has letters, digits, '-', '_' and '.' only, and "
			"does not begin with '.'");
	return 0;
}

static int check_new(struct call *call, const char *name, struct err *err)
{
	struct model *model = call->calls->model;
	size_t count = token_count(model) + change_count_tokens(model);

	if (check_name(name, err) < 0)
		return -1;
	if (token_find(model, name) || change_has_token(model, name))
		return err_set_field(
			err, "name", ERR_CONFLICT,
			"there is a token %s already; revoke it first, or choose another name",
			name);
	if (count >= TOKENS_MAX)
		return err_set(
			err, ERR_CONFLICT,
			"there are %zu tokens already, which is the limit; revoke those that are not used",
			count);
	return 0;
}

/* The members that clients see; the caller clears it with token_created_record. */
static void show(const struct token_record *stored, struct token_record *out)
{
	*out = (struct token_record){ .scope = stored->scope, .created_at = stored->created_at };
	str_set(&out->name, stored->id);
	str_set(&out->caller, stored->caller);
}

static void on_created(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct token_create_args *args = call->args;
	const struct fresh *fresh = call->state;
	const struct token *token = token_find(call->calls->model, args->name);
	struct token_record record;

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	show(&token->record, &record);
	record.token = xstrdup(fresh->text);
	call_answer(call, &record);
	explicit_bzero(record.token, strlen(record.token));
	record_clear(&token_created_record, &record);
}

void token_create(struct call *call)
{
	const struct token_create_args *args = call->args;
	struct token_record record = { .scope = args->scope };
	struct fresh *fresh = xnew(struct fresh);
	char digest[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	call_keep(call, fresh, fresh_free);
	if (check_new(call, args->name, &err) < 0 || fresh_make(fresh, digest, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (plan_ends(call, "Make a token named %s with the scope %s, and show it once.",
		      args->name, access_names[args->scope]))
		return;
	str_set(&record.id, args->name);
	str_set(&record.digest, digest);
	str_set(&record.caller, call->asked_by);
	record.created_at = clock_record_ms();
	call_wait_change(call,
			 commit_token(call->calls->model, args->name, &record, on_created, call));
}

void token_list_asked(struct call *call)
{
	struct model *model = call->calls->model;
	struct token_record *records = xcalloc(token_count(model) + 1, sizeof(*records));
	size_t count = 0;

	for (const struct token *token = token_first(model); token; token = token_next(token))
		show(&token->record, &records[count++]);
	call_answer_many(call, records, count, NULL);
	for (size_t i = 0; i < count; i++)
		record_clear(&token_record, &records[i]);
	free(records);
}

static void on_revoked(void *arg, const struct err *err)
{
	struct call *call = arg;
	const struct token_args *args = call->args;
	struct message_record record = { 0 };

	call_waited(call);
	if (err->code) {
		call_fail(call, err);
		return;
	}
	record.message = xasprintf("token %s is revoked", args->name);
	call_answer(call, &record);
	record_clear(&message_record, &record);
}

void token_revoke(struct call *call)
{
	const struct token_args *args = call->args;
	struct model *model = call->calls->model;

	if (change_has_token(model, args->name))
		call_failf(call, ERR_CONFLICT, "token %s is being changed; try again", args->name);
	else if (!token_find(model, args->name))
		call_failf(call, ERR_NOT_FOUND, "there is no token %s", args->name);
	else if (!plan_ends(call, "Revoke token %s: no request with it is accepted any more.",
			    args->name))
		call_wait_change(call, commit_token(model, args->name, NULL, on_revoked, call));
}
