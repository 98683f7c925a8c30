/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tokens: told once, known by their digest alone, used as soon as they are durable, and no longer
 * when they are revoked.
 */

#include "fixture.h"

#include "core/model/token.h"

static struct reply *create(struct world *world, const char *token_name, enum method_access scope)
{
	char name[80];
	struct token_create_args args = { .name = name, .scope = scope };

	snprintf(name, sizeof(name), "%s", token_name);
	return ask(world, METHOD_TOKEN_CREATE, &args);
}

static struct reply *revoke_token(struct world *world, const char *token_name)
{
	char name[80];
	struct token_args args = { .name = name };

	snprintf(name, sizeof(name), "%s", token_name);
	return ask(world, METHOD_TOKEN_REVOKE, &args);
}

static const char *text_of(struct world *world, struct reply *reply)
{
	answered(world, reply);
	return ((const struct token_record *)item(reply, 0))->token;
}

static void a_token_shows_its_access(void **state)
{
	struct world *world = *state;
	const char *reader = text_of(world, create(world, "reader", ACCESS_READ));
	const char *admin = text_of(world, create(world, "admin", ACCESS_ADMIN));
	struct caller caller = { .surface = "rest", .access = ACCESS_CHANGE };

	assert_true(str_has_prefix(reader, "vold_"));
	assert_int_equal(strlen(reader), strlen("vold_") + 64);
	assert_string_not_equal(reader, admin);
	for (int restarts = 0; restarts < 2; restarts++) {
		assert_true(caller_show_token(world->core, reader, &caller));
		assert_int_equal(caller.access, ACCESS_READ);
		assert_string_equal(caller.token, "reader");
		assert_true(caller_show_token(world->core, admin, &caller));
		assert_int_equal(caller.access, ACCESS_ADMIN);
		world_restart(world);
	}
}

static void the_store_has_only_the_digest(void **state)
{
	struct world *world = *state;
	const char *text = text_of(world, create(world, "ci", ACCESS_CHANGE));
	struct reply *listed = ask(world, METHOD_TOKEN_LIST, &(struct no_args){ 0 });
	const struct token *token = token_find(world->core->model, "ci");
	const struct token_record *shown;

	assert_int_equal(strlen(token->record.digest), 64);
	assert_null(strstr(text, token->record.digest));
	assert_null(token->record.token);
	answered(world, listed);
	shown = item(listed, 0);
	assert_int_equal(listed->count, 1);
	assert_string_equal(shown->name, "ci");
	assert_null(shown->token);
	assert_null(shown->digest);
	assert_string_equal(shown->caller, "{\"surface\":\"test\"}");
}

static void what_is_no_token(void **state)
{
	struct world *world = *state;
	const char *text = text_of(world, create(world, "ci", ACCESS_CHANGE));
	const char *digest = token_find(world->core->model, "ci")->record.digest;
	struct caller caller = { .surface = "rest", .access = ACCESS_READ };
	char other[80];

	snprintf(other, sizeof(other), "%s", text);
	other[strlen(other) - 1] = other[strlen(other) - 1] == '0' ? '1' : '0';
	assert_false(caller_show_token(world->core, other, &caller));
	snprintf(other, sizeof(other), "%s0", text);
	assert_false(caller_show_token(world->core, other, &caller));
	assert_false(caller_show_token(world->core, digest, &caller));
	assert_false(caller_show_token(world->core, "", &caller));
	assert_int_equal(caller.access, ACCESS_READ);
	assert_null(caller.token);
}

static void a_revoked_token_is_over(void **state)
{
	struct world *world = *state;
	const char *text = text_of(world, create(world, "ci", ACCESS_CHANGE));
	const char *kept = text_of(world, create(world, "kept", ACCESS_CHANGE));
	struct caller caller = { .surface = "rest" };
	struct reply *reply = revoke_token(world, "ci");

	answered(world, reply);
	assert_int_equal(reply->err.code, ERR_NONE);
	for (int restarts = 0; restarts < 2; restarts++) {
		assert_false(caller_show_token(world->core, text, &caller));
		assert_true(caller_show_token(world->core, kept, &caller));
		world_restart(world);
	}
	refused(world, revoke_token(world, "ci"), ERR_NOT_FOUND, "there is no token ci");
	/* The name is free again, and means another token. */
	assert_string_not_equal(text_of(world, create(world, "ci", ACCESS_READ)), text);
	assert_false(caller_show_token(world->core, text, &caller));
}

static void one_name_one_token(void **state)
{
	struct world *world = *state;
	struct reply *first = create(world, "ci", ACCESS_READ),
		     *meanwhile = create(world, "ci", ACCESS_ADMIN);
	struct caller caller = { .surface = "rest" };

	refused(world, meanwhile, ERR_CONFLICT, "there is a token ci already");
	assert_true(caller_show_token(world->core, text_of(world, first), &caller));
	assert_int_equal(caller.access, ACCESS_READ);
	refused(world, create(world, "ci", ACCESS_ADMIN), ERR_CONFLICT, "choose another name");
	refused(world, create(world, "a/b", ACCESS_READ), ERR_INVALID, "letters, digits");
	refused(world, create(world, "..", ACCESS_READ), ERR_INVALID, "does not begin with");
}

/* Those that are on their way to the store count. */
static void not_too_many_at_once(void **state)
{
	enum { MOST = 256 };
	struct world *world = *state;
	struct reply *replies[MOST + 1];
	char name[16];

	for (int i = 0; i <= MOST; i++) {
		snprintf(name, sizeof(name), "ci%d", i);
		replies[i] = create(world, name, ACCESS_READ);
	}
	for (int i = 0; i < MOST; i++)
		answered(world, replies[i]);
	refused(world, replies[MOST], ERR_CONFLICT, "there are 256 tokens already");
	answered(world, revoke_token(world, "ci0"));
	answered(world, create(world, "another", ACCESS_READ));
}

static void only_administrators(void **state)
{
	struct world *world = *state;
	char name[] = "ci";

	refused(world,
		ask_as(world, METHOD_TOKEN_CREATE, &(struct token_create_args){ .name = name },
		       ACCESS_CHANGE),
		ERR_FORBIDDEN, "token.create needs the right \"admin\"");
	refused(world, ask_as(world, METHOD_TOKEN_LIST, &(struct no_args){ 0 }, ACCESS_CHANGE),
		ERR_FORBIDDEN, "\"admin\"");
}

/* A token is told only if it is durable. */
static void the_store_is_away(void **state)
{
	struct world *world = *state;

	store_memory_set_away(world->store, "the test wants it away");
	refused(world, create(world, "ci", ACCESS_READ), ERR_UNAVAILABLE, "");
	store_memory_set_away(world->store, NULL);
	world_pass(world, 1000);
	assert_null(token_find(world->core->model, "ci"));
	assert_non_null(text_of(world, create(world, "ci", ACCESS_READ)));
}

static void an_end_to_their_number(void **state)
{
	struct world *world = *state;
	char name[16];

	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		answered(world, create(world, name, ACCESS_READ));
	}
	refused(world, create(world, "more", ACCESS_READ), ERR_CONFLICT, "256 tokens already");
	answered(world, revoke_token(world, "t7"));
	assert_non_null(text_of(world, create(world, "more", ACCESS_READ)));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_shows_its_access), TEST(the_store_has_only_the_digest),
		TEST(what_is_no_token),         TEST(a_revoked_token_is_over),
		TEST(one_name_one_token),       TEST(only_administrators),
		TEST(the_store_is_away),        TEST(an_end_to_their_number),
		TEST(not_too_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
