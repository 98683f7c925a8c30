/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One read at a time, of CloudStack's capabilities: they cost it next to nothing, and if the
 * account may not see them, the refusal (432) proves an accepted signature just as well.
 *
 * A search for the cause of a 401 is made for all calls that are refused while it goes on. If the
 * keys are wrong, that answer holds for a few seconds, so that not each call is followed by two
 * reads.
 */

#include "cloud/cloud_probe.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"

#define MEASURE_EVERY_MS (INT64_C(60) * 60 * 1000)
/* After a measurement that found nothing. */
#define MEASURE_AGAIN_MS 30000
#define KEYS_ARE_WRONG_MS 5000
/* After a search that found nothing. */
#define NEARBY_EVERY_MS (INT64_C(10) * 60 * 1000)

enum probe_state {
	PROBE_IDLE,
	PROBE_MEASURES,      /* for the clock alone */
	PROBE_ASKS_EXPIRING, /* is such a read accepted? Then it is the command */
	PROBE_ASKS_PLAIN,    /* is this one? Then it is the clock */
	PROBE_MEASURES_FOR_DENIED,
	PROBE_MEASURES_NEARBY /* the clock if that finds it, else the keys */
};

enum probe_answer { ANSWER_ACCEPTED, ANSWER_DENIED, ANSWER_NONE };

struct cloud_probe {
	struct cloud_probe_way way;
	struct cloud_clock clock;
	enum probe_state state;
	struct cloud_call *read;       /* under way, or NULL */
	struct cloud_call_list denied; /* calls that wait for the cause */
	char words[ERR_CLOUD_TEXT_SIZE];
	int64_t measure_ms;    /* monotonic; not measured again before */
	int64_t nearby_ms;     /* monotonic; the clock is not searched nearby before */
	int64_t keys_until_ms; /* monotonic; until then 401 means the keys */
};

static void on_read(void *arg, const struct cloud_result *result);

static void ask(struct cloud_probe *probe, enum cloud_probe_kind kind, int64_t expires_s)
{
	struct cloud_call *call =
		cloud_call_new(probe->way.queue, CLOUD_COMMAND_LIST_CAPABILITIES, on_read, probe);

	call->probe = kind;
	call->expires_s = expires_s;
	probe->read = call;
	probe->way.send_first(call);
}

static enum probe_answer answer_of(const struct cloud_result *result)
{
	if (result->err.cloud_code == CLOUD_CODE_UNAUTHORIZED)
		return ANSWER_DENIED;
	return result->outcome == CLOUD_OK || result->outcome == CLOUD_REFUSED ? ANSWER_ACCEPTED
									       : ANSWER_NONE;
}

/* ---- what becomes of calls that were denied ---- */

static void send_denied_again(struct cloud_probe *probe)
{
	struct cloud_call *call;

	while ((call = TAILQ_LAST(&probe->denied.calls, cloud_calls))) {
		cloud_call_unlink(call);
		call->denied = true;
		probe->way.send_first(call);
	}
}

static void fail_denied(struct cloud_probe *probe, const struct err *err)
{
	struct cloud_call *call;

	while ((call = TAILQ_FIRST(&probe->denied.calls))) {
		struct cloud_reply reply = {
			.result = { .outcome = CLOUD_AWAY, .err = *err },
			.answered = true,
		};

		cloud_call_unlink(call);
		probe->way.answer(call, &reply, CLOUD_CODE_UNAUTHORIZED);
	}
}

/* ---- the states ---- */

static void measure(struct cloud_probe *probe, enum probe_state state)
{
	probe->state = state;
	cloud_clock_begin(&probe->clock, state == PROBE_MEASURES_NEARBY);
	ask(probe, CLOUD_PROBE_EXPIRING, cloud_clock_next(&probe->clock));
}

/* Is it the command? The read expires as a change does that is asked for now. */
static void search(struct cloud_probe *probe)
{
	probe->state = PROBE_ASKS_EXPIRING;
	ask(probe, CLOUD_PROBE_EXPIRING,
	    cloud_clock_second(&probe->clock, clock_mono_ms() + probe->way.timeout_ms));
}

static void end_search(struct cloud_probe *probe, const struct err *err)
{
	probe->state = PROBE_IDLE;
	if (err->code == ERR_NONE)
		send_denied_again(probe);
	else
		fail_denied(probe, err);
	probe->way.resume(probe->way.queue);
}

static void blame_keys(struct cloud_probe *probe)
{
	struct err err;

	probe->keys_until_ms = clock_mono_ms() + KEYS_ARE_WRONG_MS;
	cloud_error_keys(probe->words, &err);
	end_search(probe, &err);
}

static void end_measurement(struct cloud_probe *probe)
{
	enum probe_state state = probe->state;
	bool found = probe->clock.found;
	struct err err = { 0 };

	probe->measure_ms = clock_mono_ms() + (found ? MEASURE_EVERY_MS : MEASURE_AGAIN_MS);
	probe->state = PROBE_IDLE;
	log_debug("cloud: CloudStack's clock %s", found ? "is known" : "could not be measured");
	if (state == PROBE_MEASURES_NEARBY && !found) {
		probe->nearby_ms = clock_mono_ms() + NEARBY_EVERY_MS;
		blame_keys(probe);
	} else if (state != PROBE_MEASURES) {
		if (!found)
			cloud_error_clock(probe->words, &err);
		end_search(probe, &err);
	} else if (probe->denied.count > 0) {
		search(probe);
	} else {
		probe->way.resume(probe->way.queue);
	}
}

static void on_measuring(struct cloud_probe *probe, enum probe_answer answer, int64_t sent_ms)
{
	int64_t expires_s = 0;

	if (answer != ANSWER_NONE) {
		cloud_clock_note(&probe->clock, answer == ANSWER_ACCEPTED, sent_ms,
				 clock_mono_ms());
		expires_s = cloud_clock_next(&probe->clock);
	}
	if (expires_s)
		ask(probe, CLOUD_PROBE_EXPIRING, expires_s);
	else
		end_measurement(probe);
}

static void on_search(struct cloud_probe *probe, enum probe_answer answer,
		      const struct cloud_result *result)
{
	struct err err = { 0 };

	if (answer == ANSWER_NONE) {
		err = result->err;
	} else if (answer == ANSWER_DENIED && probe->state == PROBE_ASKS_EXPIRING) {
		probe->state = PROBE_ASKS_PLAIN;
		ask(probe, CLOUD_PROBE_PLAIN, 0);
		return;
	} else if (answer == ANSWER_DENIED && clock_mono_ms() >= probe->nearby_ms) {
		/* The server may be one that accepts no request without an expiry. */
		measure(probe, PROBE_MEASURES_NEARBY);
		return;
	} else if (answer == ANSWER_DENIED) {
		blame_keys(probe);
		return;
	} else if (probe->state == PROBE_ASKS_PLAIN) {
		measure(probe, PROBE_MEASURES_FOR_DENIED);
		return;
	}
	end_search(probe, &err);
}

static void on_read(void *arg, const struct cloud_result *result)
{
	struct cloud_probe *probe = arg;
	enum probe_answer answer = answer_of(result);
	int64_t sent_ms = probe->read->sent_ms;

	probe->read = NULL;
	if (probe->state == PROBE_ASKS_EXPIRING || probe->state == PROBE_ASKS_PLAIN)
		on_search(probe, answer, result);
	else
		on_measuring(probe, answer, sent_ms);
}

/* ---- from outside ---- */

const struct cloud_clock *cloud_probe_clock(const struct cloud_probe *probe)
{
	return &probe->clock;
}

bool cloud_probe_clock_is_settled(struct cloud_probe *probe)
{
	if (probe->state == PROBE_IDLE && clock_mono_ms() >= probe->measure_ms)
		measure(probe, PROBE_MEASURES);
	return probe->clock.measured || probe->state == PROBE_IDLE;
}

void cloud_probe_denied(struct cloud_probe *probe, struct cloud_call *call, const char *words)
{
	struct err err;

	cloud_words_copy(probe->words, words);
	cloud_call_put_last(call, &probe->denied);
	if (clock_mono_ms() < probe->keys_until_ms) {
		cloud_error_keys(probe->words, &err);
		fail_denied(probe, &err);
	} else if (probe->state == PROBE_IDLE) {
		search(probe);
	}
}

void cloud_probe_reset(struct cloud_probe *probe)
{
	probe->measure_ms = probe->nearby_ms = probe->keys_until_ms = 0;
	probe->clock.measured = false;
}

void cloud_probe_set_timeout(struct cloud_probe *probe, int64_t timeout_ms)
{
	probe->way.timeout_ms = timeout_ms;
}

struct cloud_probe *cloud_probe_new(const struct cloud_probe_way *way)
{
	struct cloud_probe *probe = xnew(struct cloud_probe);

	probe->way = *way;
	cloud_call_list_init(&probe->denied);
	return probe;
}

struct cloud_probe *cloud_probe_free(struct cloud_probe *probe)
{
	if (!probe)
		return NULL;
	assert(probe->denied.count == 0);

	if (probe->read)
		probe->way.cancel(probe->read);
	free(probe);
	return NULL;
}
