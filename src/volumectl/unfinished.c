/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A pause lets no further change begin, but what has begun goes on, and an administrator has to
 * know when CloudStack can be touched. "pause" shows on a terminal what still runs; "drain" pauses
 * and waits for the end of it. The pause holds until "resume", also if the wait is interrupted.
 */

#include "volumectl/unfinished.h"

#include <stdio.h>

#include "base/clock.h"
#include "volumectl/listing.h"
#include "volumectl/output_list.h"
#include "volumectl/wait.h"

static const enum operation_status unfinished[] = { OPERATION_EXECUTING, OPERATION_PENDING };

/* --- pause --- */

struct shown {
	const struct options *options;
	struct output_list *output; /* NULL: there was no operation yet */
};

static void on_page(void *arg, const struct volume_client_value *page)
{
	struct shown *shown = arg;

	if (page->count == 0)
		return;
	if (!shown->output) {
		puts("Still running:");
		shown->output = output_list_begin(&operation_record, shown->options);
	}
	output_list_page(shown->output, page);
}

void unfinished_show(struct ctl *ctl)
{
	struct shown shown = { .options = &ctl->options };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(unfinished); i++) {
		if (listing_operations(ctl, unfinished[i], on_page, &shown, &err) < 0)
			break;
	}
	if (shown.output)
		output_list_end(shown.output);
	else if (!err.code)
		puts("No operation runs.");
	if (err.code)
		ctl_fail(&err);
}

/* --- drain --- */

static void on_first(void *arg, const struct volume_client_value *page)
{
	char **id = arg;

	if (page->count > 0 && !*id)
		*id = xstrdup(volume_client_text(volume_client_get(&page->items[0], "id")));
}

/* NULL in *id: nothing runs. */
static int find_one(struct ctl *ctl, char **id, struct err *err)
{
	*id = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(unfinished) && !*id; i++) {
		if (listing_operations(ctl, unfinished[i], on_first, id, err) < 0)
			return -1;
	}
	return 0;
}

static int await_nothing(struct ctl *ctl, struct err *err)
{
	int64_t until_ms = clock_mono_ms() + ctl->options.timeout_ms;

	for (;;) {
		struct volume_client_value *operation = NULL;
		int64_t left_ms = ctl->options.timeout_ms ? until_ms - clock_mono_ms() : 0;
		_cleanup_free_ char *id = NULL;

		if (find_one(ctl, &id, err) < 0)
			return -1;
		if (!id)
			return 0;
		if (ctl->options.timeout_ms && left_ms <= 0)
			return err_set(err, ERR_TIMEOUT,
				       "changes are paused, but operation %s still runs", id);
		if (wait_end(ctl, id, left_ms, &operation, err) < 0)
			return -1;
		volume_client_value_free(operation);
	}
}

static int pause_changes(struct ctl *ctl, const char *reason, struct err *err)
{
	sd_bus_message *reply = NULL;
	struct request request;
	int r;

	request_init(&request, &methods[METHOD_CHANGES_PAUSE]);
	r = request_set(&request, request_field(&request, "reason"), "reason", reason)
		    ? EXIT_USAGE
		    : request_call(ctl, &request, &reply, err);
	sd_bus_message_unref(reply);
	request_clear(&request);
	return r;
}

int drain_main(struct ctl *ctl, int argc, char **argv)
{
	struct err err = { 0 };
	int result = options_read_own(&ctl->options, argv[0], argc, argv, NULL);

	if (result)
		return result;
	if (argc - optind > 1)
		return ctl_usage("drain takes one REASON; see 'volumectl help drain'");
	result = pause_changes(ctl, optind < argc ? argv[optind] : "volumectl drain", &err);
	if (result == EXIT_USAGE)
		return result;
	if (result < 0 || (!ctl->options.no_wait && await_nothing(ctl, &err) < 0))
		return ctl_fail(&err);
	if (ctl->options.json)
		puts("{\"message\":\"changes are paused, and nothing runs\"}");
	else
		puts("Changes are paused, and nothing runs. Let them go on with 'volumectl resume'.");
	return EXIT_SUCCESS;
}
