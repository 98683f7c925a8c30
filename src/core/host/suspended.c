/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A timer a name; when it fires, device mapper is told to let everybody go with an error.
 *
 * A map that waits outlives this process, and so must the end of the wait. It is noted in a file where things last until
 * the machine is switched off, as maps do, in the time of the clock that began with the machine.
 */

#include "core/host/suspended.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
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

/* ---- the note ---- */

static char *note_path(const struct core *core, const char *volume_id)
{
	return xasprintf("%s/held-%s", core->options.run_dir, volume_id);
}

/* When it ends; 0: nobody has noted it. */
static int64_t noted_end(const struct core *core, const char *volume_id)
{
	_cleanup_free_ char *path = note_path(core, volume_id);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);
	int64_t latest = clock_mono_ms() + core->options.hold_ms;
	long long end = text ? strtoll(text, NULL, 10) : 0;

	return end < latest ? end : latest;
}

/* Without it the name is held anew after a restart, which is better than not at all. */
static void note_end(const struct core *core, const char *volume_id, int64_t end)
{
	_cleanup_free_ char *path = note_path(core, volume_id), *text = xasprintf("%lld\n", (long long)end);
	_cleanup_close_ int fd = -1;

	(void)mkdir(core->options.run_dir, 0700);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		log_warning("volume=%s: how long its name is held cannot be noted in %s: %s", volume_id, path,
			    strerror(errno));
}

static void drop_note(const struct core *core, const char *volume_id)
{
	_cleanup_free_ char *path = note_path(core, volume_id);

	(void)unlink(path);
}

/* ---- the end ---- */

static void on_failed(void *arg, const struct err *err)
{
	struct hold *hold = arg;
	struct core *core = hold->core;

	hold->call = NULL;
	if (err->code) {
		log_error("volume=%s: those who wait for it could not be told: %s", hold->volume_id, err->text);
		if (!core->draining) {
			loop_timer_set(core->loop, &hold->timer, AGAIN_MS);
			return;
		}
	} else {
		drop_note(core, hold->volume_id);
	}
	hold_free(hold);
	tidy_soon(core);
}

static void let_go(struct hold *hold)
{
	if (hold->call)
		return;
	loop_timer_clear(hold->core->loop, &hold->timer);
	hold->call = devmap_wipe(hold->core->options.devmap, hold->volume_id, on_failed, hold);
}

static void on_over(struct loop_timer *timer)
{
	struct hold *hold = container_of(timer, struct hold, timer);

	log_warning("volume=%s: it did not come back in time; whoever uses its name now gets errors", hold->volume_id);
	let_go(hold);
}

/* ---- for the others ---- */

static void hold_until(struct core *core, const char *volume_id, int64_t end)
{
	struct hold *hold = xnew(struct hold);
	int64_t left_ms = end - clock_mono_ms();

	hold->core = core;
	hold->volume_id = xstrdup(volume_id);
	hold->timer.fire = on_over;
	HASH_ADD_KEYPTR(hh, core->holds, hold->volume_id, strlen(hold->volume_id), hold);
	loop_timer_set(core->loop, &hold->timer, left_ms > 0 ? left_ms : 0);
}

void hold_begin(struct core *core, const char *volume_id)
{
	int64_t end = noted_end(core, volume_id);

	if (find(core, volume_id))
		return;
	/* One that has passed is an earlier one's. */
	if (end <= clock_mono_ms())
		end = clock_mono_ms() + core->options.hold_ms;
	note_end(core, volume_id, end);
	hold_until(core, volume_id, end);
}

void hold_found(struct core *core, const char *volume_id)
{
	int64_t end = noted_end(core, volume_id);

	if (find(core, volume_id))
		return;
	if (end == 0)
		hold_begin(core, volume_id);
	else
		hold_until(core, volume_id, end);
}

void hold_end(struct core *core, const char *volume_id)
{
	struct hold *hold = find(core, volume_id);

	if (core->options.devmap)
		drop_note(core, volume_id);
	if (hold)
		hold_free(hold);
}

void hold_give_up(struct core *core, const char *volume_id)
{
	struct hold *hold = find(core, volume_id);

	if (hold)
		let_go(hold);
}

bool holds_give_up(struct core *core)
{
	struct hold *hold, *next;

	HASH_ITER(hh, core->holds, hold, next) {
		if (!hold->call)
			log_warning("volume=%s: it is not back, and nobody is left to wait for it; whoever uses its "
				    "name now gets errors",
				    hold->volume_id);
		let_go(hold);
	}
	return !core->holds;
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
