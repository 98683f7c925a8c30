/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A timer a name; when it fires, device mapper is told to let everybody go with an error. */

#include "core/hold.h"

#include "base/log.h"
#include "core/internal.h"

#define AGAIN_MS 5000

struct hold {
	char *volume_id;
	struct core *core;
	struct loop_timer timer;
	struct devmap_call *call; /* it is being made all errors */
	UT_hash_handle hh;
};

static struct hold *find(struct core *core, const char *volume_id)
{
	struct hold *hold;

	HASH_FIND_STR(core->holds, volume_id, hold);
	return hold;
}

static void hold_free(struct hold *hold)
{
	HASH_DEL(hold->core->holds, hold);
	loop_timer_clear(hold->core->loop, &hold->timer);
	if (hold->call)
		devmap_cancel(hold->call);
	free(hold->volume_id);
	free(hold);
}

static void on_failed(void *arg, const struct err *err)
{
	struct hold *hold = arg;
	struct core *core = hold->core;

	hold->call = NULL;
	if (err->code) {
		log_error("volume=%s: those who wait for it could not be told: %s", hold->volume_id, err->text);
		loop_timer_set(core->loop, &hold->timer, AGAIN_MS);
		return;
	}
	hold_free(hold);
	tidy_soon(core);
}

static void on_over(struct loop_timer *timer)
{
	struct hold *hold = container_of(timer, struct hold, timer);

	log_warning("volume=%s: it did not come back in time; whoever uses its name now gets errors", hold->volume_id);
	hold->call = devmap_fail(hold->core->options.devmap, hold->volume_id, on_failed, hold);
}

void hold_begin(struct core *core, const char *volume_id)
{
	struct hold *hold = find(core, volume_id);

	if (hold)
		return;
	hold = xnew(struct hold);
	hold->core = core;
	hold->volume_id = xstrdup(volume_id);
	hold->timer.fire = on_over;
	HASH_ADD_KEYPTR(hh, core->holds, hold->volume_id, strlen(hold->volume_id), hold);
	loop_timer_set(core->loop, &hold->timer, core->options.hold_ms);
}

void hold_end(struct core *core, const char *volume_id)
{
	struct hold *hold = find(core, volume_id);

	if (hold)
		hold_free(hold);
}

bool hold_is_on(struct core *core, const char *volume_id)
{
	return find(core, volume_id) != NULL;
}

void holds_free(struct core *core)
{
	struct hold *hold, *next;

	HASH_ITER(hh, core->holds, hold, next)
		hold_free(hold);
}
