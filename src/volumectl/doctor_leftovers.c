/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor's checks for what is left over: operations that a person has to settle, and
 * differences between what the daemon knows and what there is. They ask the daemon, and repair
 * nothing.
 */

#include <stdio.h>

#include "volumectl/doctor_checks.h"
#include "volumectl/listing.h"

#define NAMED_MAX 3 /* the rest is counted */

/* A count, and the first few names. */
struct names {
	struct buf text;
	size_t count;
};

static void add_name(struct names *names, const char *name, const char *what)
{
	if (names->count++ < NAMED_MAX)
		buf_printf(&names->text, "%s%s (%s)", names->text.length ? ", " : "", name, what);
}

static const char *rest_of(const struct names *names)
{
	return names->count > NAMED_MAX ? ", …" : "";
}

static const char *text_of(const struct volume_client_value *item, const char *name)
{
	return volume_client_text(volume_client_get(item, name));
}

/* --- operations --- */

static void on_operations(void *arg, const struct volume_client_value *page)
{
	for (size_t i = 0; i < page->count; i++) {
		const struct volume_client_value *item = &page->items[i];
		const struct volume_client_value *needs =
			volume_client_get(item, "needs_attention");

		if (needs && needs->kind == VOLUME_CLIENT_BOOL && needs->boolean)
			add_name(arg, text_of(item, "id"), text_of(item, "type"));
	}
}

/* What undoing could not take back: such operations have failed, or were cancelled. */
void check_attention(const struct doctor *doctor, struct finding *finding)
{
	struct names names = { .text = BUF_NULL };
	struct err err = { 0 };

	if (listing_operations(doctor->ctl, OPERATION_FAILED, on_operations, &names, &err) < 0 ||
	    listing_operations(doctor->ctl, OPERATION_CANCELLED, on_operations, &names, &err) < 0)
		finding_set(finding, VERDICT_UNKNOWN, NULL, "%s", err.text);
	else if (names.count)
		finding_set(
			finding, VERDICT_WARNING,
			"look with 'volumectl history OPERATION', put CloudStack in order, then: volumectl resolve OPERATION --as done|undone",
			"operations that left something behind: %zu: %s%s", names.count,
			names.text.data, rest_of(&names));
	else
		finding_set(finding, VERDICT_OK, NULL, "no operation needs attention");
	buf_clear(&names.text);
}

/* --- differences --- */

static int ask(struct ctl *ctl, const struct request *request, struct volume_client_value **out,
	       struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	int r;

	if (request_call(ctl, request, &reply, err) < 0)
		return -1;
	r = volume_client_read(reply, out, &error);
	sd_bus_message_unref(reply);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}

static void add_differences(struct names *names, const struct volume_client_value *answer,
			    const char *list, const char *name)
{
	const struct volume_client_value *items =
		volume_client_get(volume_client_get(answer, "report"), list);

	for (size_t i = 0; items && items->kind == VOLUME_CLIENT_LIST && i < items->count; i++)
		add_name(names, text_of(&items->items[i], name), text_of(&items->items[i], "kind"));
}

static void judge(const char *remedy, const char *good, const struct names *names,
		  struct finding *finding)
{
	if (names->count)
		finding_set(finding, VERDICT_WARNING, remedy, "differences: %zu: %s%s",
			    names->count, names->text.data, rest_of(names));
	else
		finding_set(finding, VERDICT_OK, NULL, "%s", good);
}

void check_differences(const struct doctor *doctor, struct finding *finding)
{
	struct volume_client_value *answer = NULL;
	struct names names = { .text = BUF_NULL };
	struct request request;
	struct err err = { 0 };

	request_init(&request, &methods[METHOD_FORCE_SYNC]);
	request_set(&request, request_field(&request, "dry_run"), "dry-run", "yes");
	if (ask(doctor->ctl, &request, &answer, &err) < 0) {
		finding_set(finding, VERDICT_UNKNOWN, NULL, "%s", err.text);
	} else {
		add_differences(&names, answer, "drift", "volume_id");
		judge("see them with 'volumectl sync --dry-run'; repair them with: volumectl sync",
		      "CloudStack, the store and the kernel agree", &names, finding);
	}
	request_clear(&request);
	volume_client_value_free(answer);
	buf_clear(&names.text);
}

void check_exports_left(const struct doctor *doctor, struct finding *finding)
{
	struct volume_client_value *answer = NULL;
	struct names names = { .text = BUF_NULL };
	struct err err = { 0 };

	if (streq(doctor_word(doctor, "nbd_health"), "turned off")) {
		finding_set(finding, VERDICT_OK, NULL, "exports are turned off");
	} else if (ctl_call(doctor->ctl, METHOD_EXPORT_VALIDATE, -1, &answer, &err) < 0) {
		finding_set(finding, VERDICT_UNKNOWN, NULL, "%s", err.text);
	} else {
		add_differences(&names, answer, "differences", "export_name");
		judge("see them with 'volumectl exports-validate'; remove orphans with: volumectl exports-cleanup --dry-run=no",
		      "exports, the NBD server and the disks agree", &names, finding);
	}
	volume_client_value_free(answer);
	buf_clear(&names.text);
}
