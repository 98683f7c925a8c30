/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error table against the contract, and texts that stay fit for every surface. */
#include "unit.h"

#include <stdio.h>

#include "base/err.h"

/* The contract's table, written a second time on purpose. */
static void words_and_statuses_are_the_contracts(void **state)
{
	static const struct {
		enum err_code code;
		int status;
		const char *word, *bus_name;
	} rows[] = {
		{ ERR_INVALID, 400, "INVALID_REQUEST", "InvalidRequest" },
		{ ERR_UNAUTHORIZED, 401, "UNAUTHORIZED", "Unauthorized" },
		{ ERR_FORBIDDEN, 403, "FORBIDDEN", "Forbidden" },
		{ ERR_NOT_FOUND, 404, "NOT_FOUND", "NotFound" },
		{ ERR_NO_SUCH_PATH, 404, "NOT_FOUND", "NoSuchPath" },
		{ ERR_BAD_VERB, 405, "METHOD_NOT_ALLOWED", "MethodNotAllowed" },
		{ ERR_CONFLICT, 409, "CONFLICT", "Conflict" },
		{ ERR_CANCELLED, 409, "CONFLICT", "Cancelled" },
		{ ERR_TOO_LARGE, 413, "TOO_LARGE", "TooLarge" },
		{ ERR_MEDIA_TYPE, 415, "UNSUPPORTED_MEDIA_TYPE", "UnsupportedMediaType" },
		{ ERR_MISDIRECTED, 421, "MISDIRECTED", "Misdirected" },
		{ ERR_TOO_MANY, 429, "TOO_MANY_REQUESTS", "TooManyRequests" },
		{ ERR_CLOUD, 422, "CLOUDSTACK_ERROR", "CloudStackError" },
		{ ERR_INTERNAL, 500, "INTERNAL_ERROR", "InternalError" },
		{ ERR_UNAVAILABLE, 503, "SERVICE_UNAVAILABLE", "ServiceUnavailable" },
		{ ERR_TIMEOUT, 504, "TIMEOUT", "Timeout" },
	};

	assert_int_equal(ARRAY_SIZE(rows), ERR_CODE_COUNT - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct err_view *view = err_view(rows[i].code);

		assert_int_equal(view->http_status, rows[i].status);
		assert_string_equal(view->word, rows[i].word);
		assert_string_equal(view->bus_name, rows[i].bus_name);
	}
}

static void names_lead_back(void **state)
{
	bool exit_code_seen[256] = { false };

	for (unsigned code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		const struct err_view *view = err_view((enum err_code)code);
		char name[128];

		snprintf(name, sizeof(name), ERR_BUS_PREFIX "%s", view->bus_name);
		assert_int_equal(err_from_bus_name(name), code);
		assert_string_equal(err_view(err_from_word(view->word))->word, view->word);
		assert_in_range(view->exit_code, 3, 125);
		assert_false(exit_code_seen[view->exit_code]);
		exit_code_seen[view->exit_code] = true;
	}
	assert_int_equal(err_from_word("NOT_FOUND"), ERR_NOT_FOUND);
	assert_int_equal(err_from_word("CONFLICT"), ERR_CONFLICT);
	assert_int_equal(err_from_word("nonsense"), ERR_INTERNAL);
	assert_int_equal(err_from_bus_name("NotFound"), ERR_INTERNAL);
	assert_int_equal(err_from_bus_name(ERR_BUS_PREFIX "Nonsense"), ERR_INTERNAL);
	assert_int_equal(err_from_bus_name(NULL), ERR_INTERNAL);
}

static void only_passing_troubles_are_worth_a_retry(void **state)
{
	assert_true(err_view(ERR_UNAVAILABLE)->retry_helps);
	assert_true(err_view(ERR_TIMEOUT)->retry_helps);
	assert_true(err_view(ERR_TOO_MANY)->retry_helps);
	assert_false(err_view(ERR_INVALID)->retry_helps);
	assert_false(err_view(ERR_CONFLICT)->retry_helps);
}

static void sets_and_replaces(void **state)
{
	struct err err = { .cloud_code = 431, .cloud_text = "old" };

	assert_int_equal(err_set_field(&err, "size", ERR_INVALID, "size is %d", 5), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.field, "size");
	assert_string_equal(err.text, "size is 5");
	assert_int_equal(err.cloud_code, 0);
	assert_string_equal(err.cloud_text, "");

	/* Built from its own former text. */
	assert_int_equal(err_set(&err, ERR_CONFLICT, "again: %s", err.text), -1);
	assert_string_equal(err.text, "again: size is 5");
	assert_string_equal(err.field, "");
	assert_int_equal(err_set(NULL, ERR_CONFLICT, "nobody listens"), -1);
	err_prefix(NULL, "nobody listens");

	err_clear(&err);
	assert_int_equal(err.code, ERR_NONE);
	assert_string_equal(err.text, "");
	err_clear(NULL);
}

static void prefix_keeps_the_rest(void **state)
{
	struct err err;

	err_set_field(&err, "vm_id", ERR_NOT_FOUND, "no such VM");
	err.cloud_code = 431;
	err_prefix(&err, "attaching volume %d", 7);
	assert_string_equal(err.text, "attaching volume 7: no such VM");
	assert_string_equal(err.field, "vm_id");
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(err.cloud_code, 431);
}

static void reasons_are_words_for_programs(void **state)
{
	assert_null(err_reason_word(ERR_REASON_NONE));
	for (unsigned reason = ERR_REASON_NONE + 1; reason < ERR_REASON_COUNT; reason++) {
		const char *word = err_reason_word((enum err_reason)reason);

		assert_true(strlen(word) < 64); /* as wide as the column of the store */
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
		for (unsigned other = ERR_REASON_NONE + 1; other < reason; other++)
			assert_string_not_equal(word, err_reason_word((enum err_reason)other));
	}
	assert_string_equal(err_reason_word(ERR_REASON_VM_SNAPSHOTS), "vm_snapshots");
}

static void other_words_keep_the_rest(void **state)
{
	struct err err;

	assert_int_equal(err_set_reason(&err, ERR_REASON_QUOTA, ERR_CLOUD, "limit of %d", 5), -1);
	assert_int_equal(err.reason, ERR_REASON_QUOTA);
	err.cloud_code = 535;
	memcpy(err.cloud_text, "theirs", sizeof("theirs"));
	err_reword(&err, "ours, \n%s", err.text);
	assert_string_equal(err.text, "ours, ?limit of 5");
	assert_int_equal(err.code, ERR_CLOUD);
	assert_int_equal(err.reason, ERR_REASON_QUOTA);
	assert_int_equal(err.cloud_code, 535);
	assert_string_equal(err.cloud_text, "theirs");

	err_set(&err, ERR_CLOUD, "another error");
	assert_int_equal(err.reason, ERR_REASON_NONE);
	assert_int_equal(err_set_reason(NULL, ERR_REASON_QUOTA, ERR_CLOUD, "nobody listens"), -1);
}

static void assert_ends_with(const char *text, const char *end)
{
	assert_string_equal(text + strlen(text) - strlen(end), end);
}

static void long_texts_are_whole(void **state)
{
	char words[4097];
	struct err err;

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	err_set(&err, ERR_CLOUD, "CloudStack refused: %s (code 431)", words);
	err_prefix(&err, "attaching the volume");
	err_reword(&err, "%s; it stays", err.text);
	assert_int_equal(strlen(err.text),
			 4096 + strlen("attaching the volume: CloudStack refused: "
				       " (code 431); it stays"));
	assert_ends_with(err.text, "w (code 431); it stays");
}

static void an_error_is_kept_and_dropped(void **state)
{
	struct err *slot = NULL, err;

	err_set_reason(&err, ERR_REASON_QUOTA, ERR_CLOUD, "full");
	err_keep(&slot, &err);
	assert_string_equal(slot->text, "full");
	assert_int_equal(slot->reason, ERR_REASON_QUOTA);
	err_clear(&err);
	err_keep(&slot, &err);
	assert_null(slot);
	err_keep(&slot, NULL);
	assert_null(slot);
}

static void texts_are_plain_and_cut_between_characters(void **state)
{
	char longer[2 * ERR_TEXT_SIZE];
	struct err err;

	err_set_field(&err, "a\nb", ERR_INVALID, "line\nend \x1b[31m \xff \xc3\xbc");
	assert_string_equal(err.text, "line?end ?[31m ? \xc3\xbc");
	assert_string_equal(err.field, "a?b");
	for (size_t i = 0; i + 3 < sizeof(longer); i += 3)
		memcpy(longer + i, "\xe2\x82\xac", 4);
	for (int shift = 0; shift < 3; shift++) {
		err_set(&err, ERR_INVALID, "%.*s%s", shift, "abc", longer);
		assert_true(str_is_plain_text(err.text));
		assert_null(strchr(err.text, '?'));
		assert_true(strlen(err.text) >= sizeof(err.text) - 4);
		assert_ends_with(err.text, "\xe2\x82\xac [cut]");
		err_prefix(&err, "x");
		assert_ends_with(err.text, "\xe2\x82\xac [cut]");
		assert_true(str_is_plain_text(err.text));
		assert_null(strchr(err.text, '?'));
	}
}

RUN_TESTS(cmocka_unit_test(words_and_statuses_are_the_contracts), cmocka_unit_test(names_lead_back),
	  cmocka_unit_test(only_passing_troubles_are_worth_a_retry),
	  cmocka_unit_test(sets_and_replaces), cmocka_unit_test(prefix_keeps_the_rest),
	  cmocka_unit_test(reasons_are_words_for_programs),
	  cmocka_unit_test(other_words_keep_the_rest), cmocka_unit_test(long_texts_are_whole),
	  cmocka_unit_test(an_error_is_kept_and_dropped),
	  cmocka_unit_test(texts_are_plain_and_cut_between_characters))
