/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One command for several volumes: "attach V1 V2 V3", "detach --vm VM --all".
 *
 * All names are looked up before the first change begins, so a mistyped one stops nothing half
 * way. Then all changes begin, since CloudStack works on volumes of different VMs at once, and the
 * daemon knows the order of those of one VM. What cannot begin, or fails, does not stop the others.
 * With --dry-run nothing begins, and each volume has a plan, made as if the others stayed as they
 * are.
 */

#include "volumectl/many.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "volumectl/listing.h"
#include "volumectl/names.h"
#include "volumectl/output.h"
#include "volumectl/plan.h"
#include "volumectl/table.h"
#include "volumectl/wait.h"

struct change {
	char *word; /* as the user names the volume, or its own name */
	char *volume_id;
	char *operation_id;                    /* NULL: it did not begin */
	struct volume_client_value *operation; /* NULL: it has not ended */
	struct volume_client_value *plan;      /* with --dry-run */
	struct err *err;                       /* NULL: all is well */
};

struct changes {
	struct change *items;
	size_t count;
};

bool many_is_wanted(const struct request *request)
{
	return request->many_count > 0 || request_own(request, "all");
}

static void changes_clear(struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++) {
		struct change *change = &changes->items[i];

		free(change->word);
		free(change->volume_id);
		free(change->operation_id);
		volume_client_value_free(change->operation);
		volume_client_value_free(change->plan);
		free(change->err);
	}
	free(changes->items);
}

static struct change *changes_add(struct changes *changes, const char *word, const char *volume_id)
{
	struct change *change;

	changes->items = xrealloc(changes->items, (changes->count + 1) * sizeof(*changes->items));
	change = &changes->items[changes->count++];
	*change = (struct change){ .word = xstrdup(word), .volume_id = xstrdup(volume_id) };
	return change;
}

/* --- which volumes --- */

static int find_named(struct ctl *ctl, const struct request *request, struct changes *changes,
		      struct err *err)
{
	for (size_t i = 0; i < request->many_count; i++) {
		const char *word = request->many[i];
		_cleanup_free_ char *id = NULL;

		if (uuid_is_valid(word))
			id = xstrdup(word);
		else if (names_find(ctl, &volume_record, word, &id, err) < 0)
			return -1;
		changes_add(changes, word, id);
	}
	return 0;
}

static void on_volumes(void *arg, const struct volume_client_value *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct volume_client_value *item = &list->items[i];
		const char *name = volume_client_text(volume_client_get(item, "name"));
		const char *id = volume_client_text(volume_client_get(item, "volume_id"));

		changes_add(arg, *name ? name : id, id);
	}
}

static int find_all(struct ctl *ctl, const struct request *request, struct changes *changes,
		    struct err *err)
{
	struct request volumes;
	int r;

	request_init(&volumes, &methods[METHOD_VM_VOLUMES]);
	r = request_set(&volumes, request_field(&volumes, "vm_id"), "vm",
			request_own(request, "vm"))
		    ? err_set(err, ERR_INVALID, "the virtual machine of --vm is not understood")
		    : names_resolve(ctl, &volumes, err);
	if (r == 0)
		r = listing_read(ctl, &volumes, on_volumes, changes, err);
	request_clear(&volumes);
	return r;
}

/* --- the changes --- */

static int read_operation_id(sd_bus_message *reply, char **id, struct err *err)
{
	const char *path = NULL;

	if (sd_bus_message_read(reply, "o", &path) >= 0)
		*id = volume_client_path_id(path);
	return *id ? 0 : err_set(err, ERR_INTERNAL, "the daemon's answer cannot be read");
}

static int set_volume(struct request *request, const struct change *change, struct err *err)
{
	if (request_set(request, request_field(request, "volume_id"), "volume", change->volume_id))
		return err_set(err, ERR_INVALID, "the volume is not understood");
	return 0;
}

static void begin(struct ctl *ctl, struct request *request, struct change *change)
{
	sd_bus_message *reply = NULL;
	struct err err = { 0 };

	if (set_volume(request, change, &err) == 0 && request_call(ctl, request, &reply, &err) == 0)
		read_operation_id(reply, &change->operation_id, &err);
	sd_bus_message_unref(reply);
	err_keep(&change->err, &err);
}

static void ask_plan(struct ctl *ctl, struct request *request, struct change *change)
{
	struct err err = { 0 };

	if (set_volume(request, change, &err) == 0)
		plan_ask(ctl, request, &change->plan, &err);
	err_keep(&change->err, &err);
}

/* What is left of --timeout, which is for all together. */
static int64_t time_left_ms(const struct ctl *ctl, int64_t since_ms)
{
	int64_t left_ms = ctl->options.timeout_ms - (clock_mono_ms() - since_ms);

	if (!ctl->options.timeout_ms)
		return 0;
	return left_ms > 1 ? left_ms : 1;
}

static void await_all(struct ctl *ctl, struct changes *changes)
{
	int64_t since_ms = clock_mono_ms();

	for (size_t i = 0; i < changes->count; i++) {
		struct change *change = &changes->items[i];
		struct err err = { 0 };

		if (!change->operation_id)
			continue;
		if (wait_end(ctl, change->operation_id, time_left_ms(ctl, since_ms),
			     &change->operation, &err) == 0)
			wait_outcome(change->operation, &err);
		err_keep(&change->err, &err);
	}
}

/* --- the outcome --- */

static const char *status_of(const struct change *change)
{
	if (change->operation)
		return volume_client_text(volume_client_get(change->operation, "status"));
	return change->operation_id ? "begun" : "refused";
}

/* The device after an attach, the reason after a failure. */
static const char *result_of(const struct change *change)
{
	const struct volume_client_value *response =
		volume_client_get(change->operation, "response");
	const char *device = volume_client_text(volume_client_get(response, "device_path"));

	if (change->err)
		return change->err->text;
	if (!change->operation)
		return str_or(change->operation_id, "");
	return *device ? device : volume_client_text(volume_client_get(response, "message"));
}

static void add_clean_cell(struct table *table, const char *text, enum style style)
{
	struct buf cell = BUF_NULL;

	text_add_clean(&cell, *text ? text : "-");
	table_add(table, buf_take(&cell), style);
}

static void print_table(const struct changes *changes)
{
	static const char *const headings[] = { "VOLUME", "STATUS", "RESULT" };
	struct table *table = table_new(ARRAY_SIZE(headings));

	for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
		add_clean_cell(table, headings[i], STYLE_HEADING);
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->items[i];
		const char *status = status_of(change);

		add_clean_cell(table, change->word, STYLE_PLAIN);
		add_clean_cell(table, status,
			       change->operation_id ? style_of_word(status) : STYLE_BAD);
		add_clean_cell(table, result_of(change), STYLE_PLAIN);
	}
	table_print(table);
	table_free(table);
}

static void print_plans(const struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++) {
		_cleanup_buf_ struct buf heading = BUF_NULL;

		if (!changes->items[i].plan)
			continue;
		text_add_clean(&heading, changes->items[i].word);
		printf("%s:\n", heading.data);
		plan_print(changes->items[i].plan);
		putchar('\n');
	}
}

static void put_plan(const struct volume_client_value *plan, struct json_writer *w)
{
	for (size_t i = 0; i < plan->count; i++) {
		json_put_name(w, plan->items[i].key);
		output_json_value(&plan->items[i], w);
	}
}

/* An operation's own record; without one, the members that it would have. */
static void put_json(const struct change *change, struct json_writer *w)
{
	if (change->operation) {
		output_json_value(change->operation, w);
		return;
	}
	json_begin_object(w);
	if (change->operation_id)
		json_put_member(w, "id", change->operation_id);
	json_put_member(w, "volume_id", change->volume_id);
	if (change->plan)
		put_plan(change->plan, w);
	else
		json_put_member(w, "status", status_of(change));
	if (change->err) {
		json_put_member(w, "error", change->err->text);
		json_put_member(w, "error_code", err_view(change->err->code)->bus_name);
	}
	json_end_object(w);
}

static void print_json(const struct changes *changes)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_array(&w);
	for (size_t i = 0; i < changes->count; i++)
		put_json(&changes->items[i], &w);
	json_end_array(&w);
	puts(text.data);
}

/* On a terminal the table may be cut, so each error is told whole. The highest exit code counts. */
static int report(const struct changes *changes)
{
	int worst = EXIT_SUCCESS;

	fflush(stdout);
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->items[i];
		int code = change->plan ? plan_exit_code(change->plan) : EXIT_SUCCESS;

		if (change->err) {
			fprintf(stderr, "volumectl: %s: %s\n", change->word, change->err->text);
			code = err_view(change->err->code)->exit_code;
		}
		worst = code > worst ? code : worst;
	}
	return worst;
}

static int change_all(struct ctl *ctl, struct request *request, struct changes *changes)
{
	struct volume_client_error error;
	struct err err = { 0 };

	if (volume_client_subscribe(ctl->client, &error) < 0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	for (size_t i = 0; i < changes->count; i++)
		begin(ctl, request, &changes->items[i]);
	if (!ctl->options.no_wait)
		await_all(ctl, changes);
	if (ctl->options.json)
		print_json(changes);
	else
		print_table(changes);
	return report(changes);
}

static int plan_all(struct ctl *ctl, struct request *request, struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		ask_plan(ctl, request, &changes->items[i]);
	if (ctl->options.json)
		print_json(changes);
	else
		print_plans(changes);
	return report(changes);
}

static int run(struct ctl *ctl, struct request *request, struct changes *changes)
{
	struct err err = { 0 };

	if ((request_own(request, "all") ? find_all : find_named)(ctl, request, changes, &err) < 0)
		return ctl_fail(&err);
	if (changes->count == 0) {
		fputs("No data volume is attached to this virtual machine.\n", stderr);
		if (ctl->options.json)
			puts("[]");
		return EXIT_SUCCESS;
	}
	return method_asks_plan(request->method, request->args) ? plan_all(ctl, request, changes)
								: change_all(ctl, request, changes);
}

int many_run(struct ctl *ctl, struct request *request)
{
	struct changes changes = { 0 };
	struct err err = { 0 };
	int result;

	if (request->given & UINT64_C(1) << request_field(request, "request_id"))
		return ctl_usage("--request-id is the key of one change; give one volume with it");
	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	result = run(ctl, request, &changes);
	changes_clear(&changes);
	return result;
}
