/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The health is no state of its own but is put together from many parts when a client asks for it.
 * So a change is noticed by asking again, and only while a client wants to hear of it.
 *
 * Many texts name an age or a count, which change all the time. Two texts that differ in digits
 * alone are therefore the same health.
 */

#include "core/methods/health_watch.h"

#include <ctype.h>

#include "core/env.h"
#include "core/methods/calls.h"
#include "core/methods/health.h"
#include "core/model/event.h"
#include "io/loop.h"

#define LOOK_MS 1000

struct health_watch {
	struct calls *calls;
	struct buf last; /* what the last look has found */
	struct loop_timer look;
};

static void add_words(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			buf_add_char(out, *text);
	}
	buf_add_char(out, '\n');
}

/* True if the health is another one than at the last look. */
static bool look(struct health_watch *watch, struct health_record *record)
{
	struct buf words = BUF_NULL;
	bool is_other;

	health_to_record(watch->calls, record);
	add_words(&words, record->status);
	add_words(&words, record->cloudstack_health);
	add_words(&words, record->database_health);
	add_words(&words, record->device_monitor);
	add_words(&words, record->nbd_health);
	is_other = !streq(words.data, watch->last.data);
	buf_clear(&watch->last);
	watch->last = words;
	return is_other;
}

static void on_look(struct loop_timer *timer)
{
	struct health_watch *watch = container_of(timer, struct health_watch, look);
	struct health_record record = { 0 };

	if (look(watch, &record))
		events_health(watch->calls->model, &record);
	record_clear(&health_record, &record);
	loop_timer_set(watch->calls->env->loop, timer, LOOK_MS);
}

void health_watch_set(struct health_watch *watch, bool is_wanted)
{
	struct health_record record = { 0 };

	if (!is_wanted) {
		loop_timer_clear(watch->calls->env->loop, &watch->look);
		return;
	}
	if (loop_timer_is_set(&watch->look))
		return;
	look(watch, &record); /* a client that begins to listen asks for the present health */
	record_clear(&health_record, &record);
	loop_timer_set(watch->calls->env->loop, &watch->look, LOOK_MS);
}

struct health_watch *health_watch_new(struct calls *calls)
{
	struct health_watch *watch = xnew(struct health_watch);

	watch->calls = calls;
	watch->look.fire = on_look;
	return watch;
}

struct health_watch *health_watch_free(struct health_watch *watch)
{
	if (!watch)
		return NULL;
	health_watch_set(watch, false);
	buf_clear(&watch->last);
	free(watch);
	return NULL;
}
