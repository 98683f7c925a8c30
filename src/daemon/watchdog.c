/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Databases answer or fail within seconds, and a disk within a minute or two, even one that is
 * worn out; so five minutes prove that a thread hangs.
 *
 * A look costs next to nothing, but a wake-up of an idle machine does not. The scans of the disks
 * wake the daemon as often as it has to look, so it looks before the loop waits again, and wakes
 * the loop itself only if nothing else does for half as long again.
 */

#include "daemon/watchdog.h"

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/log.h"
#include "spec/messages.h"
#include "store/store.h"

#define LOOK_MS 2000
#define LOOKS_AWAY 2 /* one slow commit is no news */
#define STUCK_MS INT64_C(300000)

struct watchdog {
	struct loop *loop;
	const struct store *store;
	struct loop_hook hook;
	struct loop_timer timer; /* nothing else has woken the loop */
	int64_t every_ms;
	int64_t looked_ms;   /* clock_mono_ms() */
	bool is_wanted;      /* by systemd */
	unsigned looks_away; /* in a row */
	bool stuck;
};

static void tell_store(struct watchdog *watchdog, const struct store_health *health)
{
	if (health->away && ++watchdog->looks_away == LOOKS_AWAY)
		log_tell(LOG_LEVEL_WARNING, (.message_id = messages[MESSAGE_STORE_AWAY].id),
			 "the store takes no changes: %s", health->reason);
	if (!health->away && watchdog->looks_away >= LOOKS_AWAY)
		log_tell(LOG_LEVEL_NOTICE, (.message_id = messages[MESSAGE_STORE_BACK].id),
			 "the store takes changes again");
	if (!health->away)
		watchdog->looks_away = 0;
}

static void look(struct watchdog *watchdog)
{
	struct store_health health;
	bool stuck;

	store_health(watchdog->store, &health);
	tell_store(watchdog, &health);
	stuck = health.stuck_ms >= STUCK_MS;
	if (stuck && !watchdog->stuck && watchdog->is_wanted)
		log_error(
			"a thread of the store hangs since %lld s, so systemd gets no more signs of life",
			(long long)health.stuck_ms / 1000);
	watchdog->stuck = stuck;
	if (watchdog->is_wanted && !stuck)
		sd_notify(0, "WATCHDOG=1");
}

static void before_wait(struct loop_hook *hook)
{
	struct watchdog *watchdog = container_of(hook, struct watchdog, hook);
	int64_t now_ms = clock_mono_ms();

	if (now_ms - watchdog->looked_ms < watchdog->every_ms)
		return;
	watchdog->looked_ms = now_ms;
	look(watchdog);
	loop_timer_set(watchdog->loop, &watchdog->timer, watchdog->every_ms * 3 / 2);
}

static void on_quiet(struct loop_timer *timer)
{
	/* This turn of the loop looks before it waits. */
}

struct watchdog *watchdog_new(struct loop *loop, const struct store *store)
{
	struct watchdog *watchdog = xnew(struct watchdog);
	uint64_t limit_us = 0;

	watchdog->loop = loop;
	watchdog->store = store;
	watchdog->hook.prepare = before_wait;
	watchdog->timer.fire = on_quiet;
	watchdog->every_ms = LOOK_MS;
	watchdog->is_wanted = sd_watchdog_enabled(0, &limit_us) > 0;
	if (watchdog->is_wanted && (int64_t)(limit_us / 2000) < LOOK_MS)
		watchdog->every_ms = (int64_t)(limit_us / 2000);
	watchdog->looked_ms = clock_mono_ms();
	loop_hook_add(loop, &watchdog->hook);
	loop_timer_set(loop, &watchdog->timer, watchdog->every_ms * 3 / 2);
	return watchdog;
}

struct watchdog *watchdog_free(struct watchdog *watchdog)
{
	if (!watchdog)
		return NULL;
	loop_hook_remove(watchdog->loop, &watchdog->hook);
	loop_timer_clear(watchdog->loop, &watchdog->timer);
	free(watchdog);
	return NULL;
}
