/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The bytes of one connection of REST. The first byte of the input says in which pieces they come,
 * and the pieces decide nothing: the same requests pass, with the same bodies, and the same one is
 * refused. What has passed passes once more as it is.
 */

#include "api/rest/framing.h"
#include "fuzz.h"

struct outcome {
	struct framing framing;
	struct buf passed;
};

static void feed(struct outcome *outcome, const char *bytes, size_t length, size_t step)
{
	for (size_t at = 0; at < length; at += step)
		framing_feed(&outcome->framing, bytes + at, at + step < length ? step : length - at,
			     &outcome->passed);
}

static void outcome_clear(struct outcome *outcome)
{
	framing_clear(&outcome->framing);
	buf_clear(&outcome->passed);
}

static void check_same(const struct outcome *one, const struct outcome *other)
{
	const struct framing *a = &one->framing, *b = &other->framing;

	MUST(a->state == b->state && a->left == b->left && a->body == b->body);
	MUST(a->passed == b->passed && a->held.length == b->held.length);
	MUST(!a->refusal == !b->refusal);
	if (a->refusal)
		must_equal(a->refusal->text, b->refusal->text);
}

/* A refusal leaves a request that is right as HTTP, or ends one. */
static void check_again(const struct outcome *outcome)
{
	struct outcome again = { 0 };

	if (outcome->passed.length > 0)
		feed(&again, outcome->passed.data, outcome->passed.length, SIZE_MAX / 2);
	MUST(!again.framing.refusal);
	MUST(again.framing.passed == outcome->framing.passed);
	MUST(again.passed.length == outcome->passed.length);
	MUST(again.passed.length == 0 ||
	     memcmp(again.passed.data, outcome->passed.data, again.passed.length) == 0);
	outcome_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	feed(&whole, (const char *)data + 1, size - 1, size);
	feed(&pieces, (const char *)data + 1, size - 1, data[0] + (size_t)1);
	check_same(&whole, &pieces);
	check_again(&whole);
	check_again(&pieces);
	if (whole.framing.refusal)
		must_be_sound(whole.framing.refusal);
	outcome_clear(&whole);
	outcome_clear(&pieces);
	return 0;
}
