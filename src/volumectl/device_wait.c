/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for the device of a volume on this machine, so that a service or a mount can start after
 * its volume at boot (volume@.service). Everything may be late then: the daemon, CloudStack's list
 * with the names, the disk, and its stable name. So only a question that can never be answered is
 * an error, and the rest is a reason to wait, which is told once.
 *
 * As in libvolumeclient, a signal only says "look again", and the look tells the truth.
 */

#include "volumectl/device_wait.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "volumectl/names.h"

#define LOOK_AGAIN_MS 10000 /* without a signal */
#define NAME_LOOK_MS 250    /* at the path of a stable name, which no signal tells of */

struct wait {
	const char *word; /* as the user names the volume */
	char *volume_id;  /* NULL: not found yet */
	char *path;       /* of the device, when it is there */
	char *reason;     /* for waiting; the last that was told */
	int64_t until_ms; /* 0: without limit */
	int64_t look_ms;  /* at the latest, without a signal */
};

static const char *text_of(const struct volume_client_value *dict, const char *name)
{
	return volume_client_text(volume_client_get(dict, name));
}

static void wait_for(struct wait *wait, int64_t look_ms, const char *format, ...) _printf_(3, 4);
static void wait_for(struct wait *wait, int64_t look_ms, const char *format, ...)
{
	char reason[ERR_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	err_text_vformat(reason, sizeof(reason), format, args);
	va_end(args);
	if (!streq(reason, wait->reason))
		fprintf(stderr, "waiting: %s\n", reason);
	str_set(&wait->reason, reason);
	wait->look_ms = clock_mono_ms() + look_ms;
}

/* 0: the error is a reason to wait. */
static int is_late(struct wait *wait, struct err *err)
{
	if (err->code != ERR_NOT_FOUND && err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT)
		return -1;
	wait_for(wait, LOOK_AGAIN_MS, "%s", err->text);
	err_clear(err);
	return 0;
}

static int get_device(struct ctl *ctl, const char *volume_id, struct volume_client_value **mapping,
		      struct err *err)
{
	sd_bus_message *reply = NULL;
	struct volume_client_error error;
	struct request request;
	int r;

	request_init(&request, &methods[METHOD_VOLUME_DEVICE]);
	r = request_set(&request, request_field(&request, "volume_id"), "volume", volume_id)
		    ? err_set(err, ERR_INVALID, "the volume is not understood")
		    : request_call(ctl, &request, &reply, err);
	if (r == 0 && volume_client_read(reply, mapping, &error) < 0)
		r = ctl_client_error(&error, err);
	sd_bus_message_unref(reply);
	request_clear(&request);
	return r;
}

static void judge(struct wait *wait, const struct volume_client_value *mapping)
{
	const char *name = text_of(mapping, "symlink_path");
	const char *state = text_of(mapping, "linux_state");

	if (streq(state, "detected") && *name && access(name, F_OK) < 0)
		wait_for(wait, NAME_LOOK_MS, "%s is not there yet", name);
	else if (streq(state, "detected"))
		wait->path = xstrdup(*name ? name : text_of(mapping, "device_path"));
	else if (streq(state, "gone"))
		wait_for(wait, LOOK_AGAIN_MS, "the disk of volume %s is not there", wait->word);
	else
		wait_for(wait, LOOK_AGAIN_MS, "volume %s is attached to VM %s, not to this one",
			 wait->word, text_of(mapping, "vm_id"));
}

static int look(struct ctl *ctl, struct wait *wait, struct err *err)
{
	struct volume_client_value *mapping = NULL;

	if (!wait->volume_id &&
	    names_find(ctl, &volume_record, wait->word, &wait->volume_id, err) < 0)
		return is_late(wait, err);
	if (get_device(ctl, wait->volume_id, &mapping, err) < 0)
		return is_late(wait, err);
	judge(wait, mapping);
	volume_client_value_free(mapping);
	return 0;
}

/* Any signal of the daemon is a reason to look; all that have come are one. */
static int await_signal(struct ctl *ctl, const struct wait *wait, struct err *err)
{
	sd_bus *bus = volume_client_bus(ctl->client);
	bool heard = false;

	while (!heard && clock_mono_ms() < wait->look_ms) {
		int64_t until_ms = wait->until_ms && wait->until_ms < wait->look_ms ? wait->until_ms
										    : wait->look_ms;
		int64_t left_ms = until_ms - clock_mono_ms();
		sd_bus_message *m = NULL;
		int r;

		while ((r = sd_bus_process(bus, &m)) > 0) {
			heard |= m != NULL;
			m = sd_bus_message_unref(m);
		}
		if (r >= 0 && left_ms <= 0)
			return 0;
		if (r >= 0 && !heard)
			r = sd_bus_wait(bus, (uint64_t)left_ms * 1000);
		if (r < 0 && r != -EINTR)
			return err_set(err, ERR_UNAVAILABLE,
				       "the connection to the bus was lost: %s", strerror(-r));
	}
	return 0;
}

static int wait_device(struct ctl *ctl, struct wait *wait, struct err *err)
{
	struct volume_client_error error;

	if (ctl_connect(ctl, err) < 0)
		return -1;
	if (volume_client_subscribe(ctl->client, &error) < 0)
		return ctl_client_error(&error, err);
	for (;;) {
		if (look(ctl, wait, err) < 0)
			return -1;
		if (wait->path)
			return 0;
		if (wait->until_ms && clock_mono_ms() >= wait->until_ms)
			return err_set(err, ERR_TIMEOUT, "volume %s has no device here in time: %s",
				       wait->word, wait->reason);
		if (await_signal(ctl, wait, err) < 0)
			return -1;
	}
}

static void print_json(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_member(&w, "device_path", path);
	json_end_object(&w);
	puts(text.data);
}

int wait_device_main(struct ctl *ctl, int argc, char **argv)
{
	struct wait wait = { 0 };
	struct err err = { 0 };
	int result = options_read_own(&ctl->options, argv[0], argc, argv, NULL);

	if (result)
		return result;
	if (optind + 1 != argc)
		return ctl_usage("wait-device needs one VOLUME; see 'volumectl help wait-device'");
	wait.word = argv[optind];
	wait.volume_id = uuid_is_valid(wait.word) ? xstrdup(wait.word) : NULL;
	if (ctl->options.timeout_ms)
		wait.until_ms = clock_mono_ms() + ctl->options.timeout_ms;
	if (wait_device(ctl, &wait, &err) < 0)
		result = ctl_fail(&err);
	else if (ctl->options.json)
		print_json(wait.path);
	else
		puts(wait.path);
	free(wait.volume_id);
	free(wait.path);
	free(wait.reason);
	return result;
}
