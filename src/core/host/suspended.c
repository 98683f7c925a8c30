/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Each name has a timer; when the timer fires, device mapper is told to release all waiting users
 * with an error.
 *
 * A suspended map outlives this process, and so must the end of the wait. The end is noted in a
 * file that lasts until the machine is switched off, as maps do, as a time of the clock that starts
 * with the machine.
 *
 * While the store may be one from the past, no wait ends, since the store may not know how its
 * volume came back. Afterwards host_sync tells of each suspended map once more.
 */

#include "core/host/suspended.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "core/env.h"
#include "core/host/host.h"
#include "core/model/notice.h"
#include "dm/devmap.h"

#define AGAIN_MS 5000

struct suspended {
	char *volume_id;
	struct host *host;
	struct loop_timer timer;
	struct devmap_call *call; /* the map is being changed to give errors only */
	UT_hash_handle hh;
};

static struct suspended *find(struct host *host, const char *volume_id)
{
	struct suspended *suspended;

	HASH_FIND_STR(host->suspended, volume_id, suspended);
	return suspended;
}

static void suspended_free(struct suspended *suspended)
{
	HASH_DEL(suspended->host->suspended, suspended);
	loop_timer_clear(suspended->host->env->loop, &suspended->timer);
	if (suspended->call)
		devmap_cancel(suspended->call);
	free(suspended->volume_id);
	free(suspended);
}

/* ---- the note ---- */

static char *note_path(const struct host *host, const char *volume_id)
{
	return xasprintf("%s/held-%s", host->env->options.run_dir, volume_id);
}

/* The end of the wait; 0: no end was noted. */
static int64_t noted_end(const struct host *host, const char *volume_id)
{
	_cleanup_free_ char *path = note_path(host, volume_id);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);
	int64_t latest = clock_mono_ms() + host->env->options.hold_ms;
	long long end = text ? strtoll(text, NULL, 10) : 0;

	return end < latest ? end : latest;
}

/* Without the note the whole wait begins again after a restart, which is better than no wait. */
static void note_end(const struct host *host, const char *volume_id, int64_t end)
{
	_cleanup_free_ char *path = note_path(host, volume_id),
			    *text = xasprintf("%lld\n", (long long)end);
	_cleanup_close_ int fd = -1;

	(void)mkdir(host->env->options.run_dir, 0700);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		log_warning("volume=%s: how long its name is held cannot be noted in %s: %s",
			    volume_id, path, strerror(errno));
}

static void drop_note(const struct host *host, const char *volume_id)
{
	_cleanup_free_ char *path = note_path(host, volume_id);

	(void)unlink(path);
}

/* ---- the end ---- */

static void on_failed(void *arg, const struct err *err)
{
	struct suspended *suspended = arg;
	struct host *host = suspended->host;

	suspended->call = NULL;
	if (err->code) {
		log_error("volume=%s: the users that wait for it could not be told: %s",
			  suspended->volume_id, err->text);
		if (!host->env->draining) {
			loop_timer_set(host->env->loop, &suspended->timer, AGAIN_MS);
			return;
		}
	} else {
		drop_note(host, suspended->volume_id);
	}
	suspended_free(suspended);
	notice_tell(host->model, NOTICE_HOST_UNSURE);
}

static void let_go(struct suspended *suspended)
{
	if (suspended->call)
		return;
	loop_timer_clear(suspended->host->env->loop, &suspended->timer);
	suspended->call = devmap_wipe(suspended->host->env->options.devmap, suspended->volume_id,
				      on_failed, suspended);
}

static void on_over(struct loop_timer *timer)
{
	struct suspended *suspended = container_of(timer, struct suspended, timer);

	if (!env_trusts_store(suspended->host->env))
		return;
	log_warning(
		"volume=%s did not come back within %lld s (device.hold_seconds); the users of its name "
		"get errors from now on",
		suspended->volume_id, (long long)suspended->host->env->options.hold_ms / 1000);
	let_go(suspended);
}

/* ---- for the others ---- */

static void suspended_until(struct host *host, const char *volume_id, int64_t end)
{
	struct suspended *suspended = xnew(struct suspended);
	int64_t left_ms = end - clock_mono_ms();

	suspended->host = host;
	suspended->volume_id = xstrdup(volume_id);
	suspended->timer.fire = on_over;
	HASH_ADD_KEYPTR(hh, host->suspended, suspended->volume_id, strlen(suspended->volume_id),
			suspended);
	loop_deadline_set(host->env->loop, &suspended->timer, left_ms > 0 ? left_ms : 0);
}

void suspended_add(struct host *host, const char *volume_id)
{
	int64_t end = noted_end(host, volume_id);

	if (find(host, volume_id))
		return;
	/* An end that has passed belongs to an earlier wait. */
	if (end <= clock_mono_ms())
		end = clock_mono_ms() + host->env->options.hold_ms;
	note_end(host, volume_id, end);
	suspended_until(host, volume_id, end);
}

void suspended_found(struct host *host, const char *volume_id)
{
	struct suspended *suspended = find(host, volume_id);
	int64_t end = noted_end(host, volume_id);

	if (suspended) {
		if (!suspended->call && !loop_timer_is_set(&suspended->timer))
			on_over(&suspended->timer);
		return;
	}
	if (end == 0)
		suspended_add(host, volume_id);
	else
		suspended_until(host, volume_id, end);
}

void suspended_remove(struct host *host, const char *volume_id)
{
	struct suspended *suspended = find(host, volume_id);

	if (host->env->options.devmap)
		drop_note(host, volume_id);
	if (suspended)
		suspended_free(suspended);
}

static void suspended_give_up(struct host *host, const char *volume_id)
{
	struct suspended *suspended = find(host, volume_id);

	if (suspended)
		let_go(suspended);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	if (notice->type == NOTICE_NAME_DROPPED)
		suspended_give_up(container_of(listener, struct host, listener), notice->volume_id);
}

void suspended_init(struct host *host)
{
	host->listener.on_notice = on_notice;
	notice_listen(host->model, &host->listener);
}

bool suspended_give_up_all(struct host *host)
{
	struct suspended *suspended, *next;

	if (!env_trusts_store(host->env))
		return true;
	HASH_ITER(hh, host->suspended, suspended, next) {
		if (!suspended->call)
			log_warning(
				"volume=%s is not back, and the daemon stops; the users of its name get errors from "
				"now on",
				suspended->volume_id);
		let_go(suspended);
	}
	return !host->suspended;
}

bool suspended_has(struct host *host, const char *volume_id)
{
	return find(host, volume_id) != NULL;
}

void suspended_fini(struct host *host)
{
	struct suspended *suspended, *next;

	notice_unlisten(host->model, &host->listener);
	HASH_ITER(hh, host->suspended, suspended, next)
		suspended_free(suspended);
}
