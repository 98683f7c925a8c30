/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The live view: volumes and their devices, unfinished operations, and the last events, each in its
 * part of the terminal.
 *
 * As in libvolumeclient, a signal only says "look again", and the look tells the truth; signals
 * that come close together are one reason to look. Between looks only the time of running
 * operations changes, so the view is drawn each second while one runs, and otherwise stands still
 * without any work. A daemon that has left the bus is not called, since that would start it; the
 * last picture stays, with a word about its age.
 *
 * Looks have a connection of their own, whose calls end when a key is pressed: a daemon that does
 * not answer must not keep the user waiting.
 */

#include "volumectl/watch_screen.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "volumectl/output.h"
#include "volumectl/progress.h"
#include "volumectl/request.h"
#include "volumectl/screen.h"
#include "volumectl/table.h"
#include "volumectl/watch_event.h"

#define LOOK_SOON_MS 200   /* after a signal */
#define LOOK_AGAIN_MS 5000 /* after a look that failed */
#define TICK_MS 1000
#define ANSWER_MS 5000
#define EVENT_MAX 200
#define EVENT_COLUMNS 1000 /* of an event that are kept */
#define ROWS_MAX 1000      /* of a list: the most that the daemon gives at once */
#define OPERATIONS_MAX 16

struct operations {
	struct volume_client_value *items[OPERATIONS_MAX];
	size_t count;
	bool more;
};

struct view {
	struct ctl *ctl;  /* hears the signals */
	struct ctl looks; /* its calls end when there is a key */
	struct screen *screen;
	struct volume_client_value *volumes, *mappings; /* lists of dicts; NULL: not known */
	struct operations operations;
	char *events[EVENT_MAX]; /* the oldest first */
	size_t event_count;
	bool away;                   /* the daemon is not on the bus */
	bool names_due;              /* volumes may have come or gone */
	int64_t look_ms;             /* the next look, monotonic; INT64_MAX: at a signal */
	char trouble[ERR_TEXT_SIZE]; /* why the last look failed; "": it did not */
};

/* --- looking --- */

static const char *text_of(const struct volume_client_value *dict, const char *name)
{
	return volume_client_text(volume_client_get(dict, name));
}

/* "" if its name is not known. */
static const char *name_of(const struct view *view, const char *volume_id)
{
	for (size_t i = 0; view->volumes && i < view->volumes->count; i++) {
		const struct volume_client_value *volume = &view->volumes->items[i];

		if (*volume_id && streq(text_of(volume, "volume_id"), volume_id))
			return text_of(volume, "name");
	}
	return "";
}

/* CloudStack's list tells of a new volume late. */
static bool lacks_a_name(const struct view *view)
{
	for (size_t i = 0; i < view->mappings->count; i++) {
		if (!*name_of(view, text_of(&view->mappings->items[i], "volume_id")))
			return true;
	}
	return false;
}

static void set(struct request *request, const char *field, const char *text)
{
	request_set(request, request_field(request, field), field, text);
}

/* One page. NULL in status: of any. */
static int read_list(struct view *view, enum method_id id, const char *status,
		     struct volume_client_value **list, struct err *err)
{
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	struct request request;
	char limit[24];
	int r;

	request_init(&request, &methods[id]);
	snprintf(limit, sizeof(limit), "%d", status ? OPERATIONS_MAX : ROWS_MAX);
	set(&request, "limit", limit);
	if (status)
		set(&request, "status", status);
	r = request_call(&view->looks, &request, &reply, err);
	request_clear(&request);
	if (r == 0 && volume_client_read(reply, list, &error) < 0)
		r = ctl_client_error(&error, err);
	sd_bus_message_unref(reply);
	return r;
}

/* The list replaces *kept. */
static int renew_list(struct view *view, enum method_id id, struct volume_client_value **kept,
		      struct err *err)
{
	struct volume_client_value *list = NULL;

	if (read_list(view, id, NULL, &list, err) < 0)
		return -1;
	volume_client_value_free(*kept);
	*kept = list;
	return 0;
}

static void drop_operations(struct operations *operations)
{
	while (operations->count > 0)
		volume_client_value_free(operations->items[--operations->count]);
	operations->more = false;
}

/* Lists leave out what changes all the time, and this is what the view is about. */
static int read_operation(struct view *view, const char *id, struct volume_client_value **operation,
			  struct err *err)
{
	sd_bus_message *reply = NULL;
	struct request request;
	const char *path;
	int r;

	request_init(&request, &methods[METHOD_OPERATION_GET]);
	set(&request, "operation_id", id);
	r = request_call(&view->looks, &request, &reply, err);
	request_clear(&request);
	if (r == 0 && sd_bus_message_read(reply, "o", &path) < 0)
		r = err_set(err, ERR_INTERNAL, "the daemon's answer is not understood");
	if (r == 0)
		r = request_object(&view->looks, SCOPE_OPERATION, path, operation, err);
	sd_bus_message_unref(reply);
	return r;
}

static int add_operations(struct view *view, struct operations *operations,
			  enum operation_status status, struct err *err)
{
	struct volume_client_value *list = NULL;
	int r = read_list(view, METHOD_OPERATION_LIST, operation_status_names[status], &list, err);

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		const char *id = volume_client_text(volume_client_get(&list->items[i], "id"));

		if (operations->count == OPERATIONS_MAX) {
			operations->more = true;
			break;
		}
		r = read_operation(view, id, &operations->items[operations->count], err);
		if (r == 0) {
			operations->count++;
		} else if (err->code == ERR_NOT_FOUND) {
			err_clear(err);
			r = 0;
		}
	}
	volume_client_value_free(list);
	return r;
}

/* What is shown stays as it is until all is known anew. */
static int renew_operations(struct view *view, struct err *err)
{
	struct operations found = { 0 };

	if (add_operations(view, &found, OPERATION_EXECUTING, err) < 0 ||
	    add_operations(view, &found, OPERATION_PENDING, err) < 0) {
		drop_operations(&found);
		return -1;
	}
	drop_operations(&view->operations);
	view->operations = found;
	return 0;
}

static int look_at_all(struct view *view, struct err *err)
{
	struct err no_names = { 0 };

	if (renew_list(view, METHOD_MAPPING_LIST, &view->mappings, err) < 0)
		return -1;
	/* The names come from CloudStack, and the devices are here without it. */
	if (view->names_due || lacks_a_name(view))
		(void)renew_list(view, METHOD_VOLUME_LIST, &view->volumes, &no_names);
	view->names_due = false;
	return renew_operations(view, err);
}

static bool has_input(const struct view *view)
{
	struct pollfd file = { .fd = view->screen ? screen_fd(view->screen) : -1,
			       .events = POLLIN };

	return poll(&file, 1, 0) > 0;
}

static int look(struct view *view, struct err *err)
{
	view->look_ms = INT64_MAX;
	if (view->away)
		return 0;
	if (look_at_all(view, err) < 0) {
		if (has_input(view)) {
			view->names_due = true;
			view->look_ms = clock_mono_ms() + LOOK_SOON_MS;
			return -1;
		}
		snprintf(view->trouble, sizeof(view->trouble), "%s", err->text);
		view->look_ms = clock_mono_ms() + LOOK_AGAIN_MS;
		return -1;
	}
	view->trouble[0] = '\0';
	return 0;
}

/* --- events --- */

static void add_event(struct view *view, const char *member, const char *path,
		      const struct volume_client_value *arguments)
{
	_cleanup_buf_ struct buf line = BUF_NULL, whole = BUF_NULL;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	char time_text[16] = "";
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(time_text, sizeof(time_text), "%H:%M:%S", &local);
	buf_printf(&line, "%s ", time_text);
	watch_event_add(&whole, member, path, arguments);
	text_add_cut(&line, whole.data, EVENT_COLUMNS);
	if (view->event_count == EVENT_MAX) {
		free(view->events[0]);
		memmove(view->events, view->events + 1, (EVENT_MAX - 1) * sizeof(*view->events));
		view->event_count--;
	}
	view->events[view->event_count++] = buf_take(&line);
}

/* Ends the watch, so that the view is drawn. */
static int on_signal(void *arg, const char *member, const char *path,
		     const struct volume_client_value *arguments)
{
	struct view *view = arg;
	int64_t soon_ms = clock_mono_ms() + LOOK_SOON_MS;

	add_event(view, member, path, arguments);
	if (streq(member, "DaemonLeft"))
		view->away = true;
	if (streq(member, "DaemonArrived"))
		view->away = false;
	if (streq(member, "DaemonArrived") || streq(member, "OperationCompleted"))
		view->names_due = true;
	if (soon_ms < view->look_ms)
		view->look_ms = soon_ms;
	return 1;
}

/* --- drawing --- */

static void add_line(struct view *view, struct buf *out, enum style style, const char *text)
{
	bool styled = style != STYLE_PLAIN && screen_has_colours(view->screen);

	buf_add_text(out, styled ? style_begins[style] : "");
	text_add_cut(out, text, screen_columns(view->screen));
	buf_add_text(out, styled ? STYLE_END : "");
	buf_add_char(out, '\n');
}

static void add_cell(struct table *table, const char *text, enum style style)
{
	struct buf cell = BUF_NULL;

	text_add_clean(&cell, *text ? text : "-");
	table_add(table, buf_take(&cell), style);
}

static void add_headings(struct table *table, const char *const *headings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		add_cell(table, headings[i], STYLE_HEADING);
}

/* Ends the table; says how many rows were left out. */
static void put_table(struct view *view, struct table *table, size_t hidden, const char *command,
		      struct buf *out)
{
	_cleanup_free_ char *more = xasprintf("… more: %s", command);

	table_put(table, screen_columns(view->screen), screen_has_colours(view->screen), out);
	table_free(table);
	if (hidden > 0)
		add_line(view, out, STYLE_PLAIN, more);
}

/* Its name, or else its id. */
static const char *call_volume(const struct view *view, const char *volume_id)
{
	const char *name = name_of(view, volume_id);

	return *name ? name : volume_id;
}

static void add_size(struct table *table, const struct volume_client_value *size)
{
	struct buf text = BUF_NULL;

	if (size && size->kind == VOLUME_CLIENT_UNSIGNED && size->natural)
		output_size(size->natural, &text);
	else
		buf_add_char(&text, '-');
	table_add(table, buf_take(&text), STYLE_PLAIN);
}

/* Takes at most so many lines, of which the heading is one. */
static void draw_mappings(struct view *view, size_t lines, struct buf *out)
{
	static const char *const headings[] = { "VOLUME", "DEVICE",    "SIZE",
						"STATE",  "VOLUME ID", "VM ID" };
	size_t count = view->mappings ? view->mappings->count : 0, shown = count;
	struct table *table = table_new(ARRAY_SIZE(headings));

	if (count + 1 > lines)
		shown = lines > 2 ? lines - 2 : 0;
	add_headings(table, headings, ARRAY_SIZE(headings));
	for (size_t i = 0; i < shown; i++) {
		const struct volume_client_value *mapping = &view->mappings->items[i];
		const char *id = text_of(mapping, "volume_id");
		const char *state = text_of(mapping, "linux_state");

		add_cell(table, name_of(view, id), STYLE_PLAIN);
		add_cell(table, text_of(mapping, "device_path"), STYLE_PLAIN);
		add_size(table, volume_client_get(mapping, "size"));
		add_cell(table, state, style_of_word(state));
		add_cell(table, id, STYLE_PLAIN);
		add_cell(table, text_of(mapping, "vm_id"), STYLE_PLAIN);
	}
	put_table(view, table, count - shown, "volumectl mappings", out);
}

static void add_progress(struct table *table, const struct volume_client_value *progress)
{
	struct buf text = BUF_NULL;

	if (progress && progress->kind == VOLUME_CLIENT_NUMBER && progress->number >= 0)
		buf_printf(&text, "%.0f %%", progress->number * 100);
	else
		buf_add_char(&text, '-');
	table_add(table, buf_take(&text), STYLE_PLAIN);
}

static void add_operation(struct view *view, struct table *table,
			  const struct volume_client_value *operation)
{
	_cleanup_free_ char *doing = progress_doing(operation, true);
	_cleanup_buf_ struct buf times = BUF_NULL;
	int64_t begun_ms = progress_time(operation, "started_at");

	if (!begun_ms)
		begun_ms = progress_time(operation, "created_at");
	progress_add_times(&times, begun_ms, progress_time(operation, "expected_end"));
	add_cell(table, text_of(operation, "type"), STYLE_PLAIN);
	add_cell(table, call_volume(view, text_of(operation, "volume_id")), STYLE_PLAIN);
	add_cell(table, doing, STYLE_WARNING);
	add_cell(table, str_or(times.data, ""), STYLE_PLAIN);
	add_progress(table, volume_client_get(operation, "progress"));
	add_cell(table, text_of(operation, "waits_for"), STYLE_PLAIN);
	add_cell(table, text_of(operation, "id"), STYLE_PLAIN);
}

static void draw_operations(struct view *view, size_t lines, struct buf *out)
{
	static const char *const headings[] = { "OPERATION", "VOLUME",    "STEP", "TIME",
						"DONE",      "WAITS FOR", "ID" };
	const struct operations *operations = &view->operations;
	size_t count = operations->count, shown = count;
	struct table *table;

	if (count == 0) {
		add_line(view, out, STYLE_PLAIN, "No operation runs.");
		return;
	}
	if (count + 1 + operations->more > lines)
		shown = lines > 2 ? lines - 2 : 0;
	table = table_new(ARRAY_SIZE(headings));
	add_headings(table, headings, ARRAY_SIZE(headings));
	for (size_t i = 0; i < shown; i++)
		add_operation(view, table, operations->items[i]);
	put_table(view, table, count - shown + operations->more, "volumectl operations", out);
}

/* The last events, the newest at the bottom. */
static void draw_events(struct view *view, size_t lines, struct buf *out)
{
	size_t shown = lines > 1 ? lines - 1 : 0;

	if (shown > view->event_count)
		shown = view->event_count;
	add_line(view, out, STYLE_HEADING, "LAST EVENTS");
	for (size_t i = view->event_count - shown; i < view->event_count; i++)
		add_line(view, out, STYLE_PLAIN, view->events[i]);
}

static void draw_state(struct view *view, struct buf *out)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	if (view->away) {
		add_line(view, out, STYLE_BAD,
			 "Waiting for volume-daemon, which is not running; "
			 "below is what it last told.    q: quit");
	} else if (view->trouble[0]) {
		buf_add_text(&text, "Not up to date: ");
		text_add_clean(&text, view->trouble);
		add_line(view, out, STYLE_BAD, text.data);
	} else {
		add_line(view, out, STYLE_PLAIN, "volume-daemon is running.    q: quit");
	}
}

static size_t lines_of(const struct buf *text)
{
	size_t lines = 0;

	for (const char *p = str_or(text->data, ""); *p; p++)
		lines += *p == '\n';
	return lines;
}

/* Operations get up to a third of the lines, volumes up to half, and events what is left. */
static void draw(struct view *view)
{
	size_t rows = screen_rows(view->screen), used;
	_cleanup_buf_ struct buf out = BUF_NULL;

	draw_state(view, &out);
	buf_add_char(&out, '\n');
	draw_operations(view, rows / 3, &out);
	buf_add_char(&out, '\n');
	draw_mappings(view, rows / 2 > 3 ? rows / 2 - 3 : 0, &out);
	buf_add_char(&out, '\n');
	used = lines_of(&out);
	draw_events(view, rows > used ? rows - used : 0, &out);
	screen_draw(view->screen, out.data);
}

/* --- the loop --- */

static int64_t wait_ms(const struct view *view)
{
	int64_t left_ms = view->look_ms == INT64_MAX ? INT64_MAX : view->look_ms - clock_mono_ms();

	if (view->operations.count > 0 && !view->away && left_ms > TICK_MS)
		return TICK_MS;
	if (left_ms == INT64_MAX)
		return 0; /* without limit */
	return left_ms > 0 ? left_ms : 1;
}

static int await_input(struct view *view, struct err *err)
{
	struct volume_client_error error;

	if (volume_client_watch_beside(view->ctl->client, screen_fd(view->screen), wait_ms(view),
				       on_signal, view, &error) < 0 &&
	    !streq(error.name, VOLUME_CLIENT_ERROR_TIMEOUT))
		return ctl_client_error(&error, err);
	return 0;
}

static int run(struct view *view, struct err *err)
{
	struct err trouble = { 0 };

	for (;;) {
		draw(view);
		if (await_input(view, err) < 0)
			return -1;
		if (screen_read(view->screen) == SCREEN_QUIT)
			return 0;
		if (clock_mono_ms() >= view->look_ms && look(view, &trouble) < 0)
			err_clear(&trouble);
	}
}

/*
 * The first look is made before the terminal is taken: polkit may ask for a password, and who has
 * no right to look learns that.
 */
static int begin(struct view *view, struct err *err)
{
	struct volume_client_error error;

	if (volume_client_subscribe(view->ctl->client, &error) < 0)
		return ctl_client_error(&error, err);
	if (ctl_connect(&view->looks, err) < 0)
		return -1;
	view->away = !ctl_daemon_runs(view->ctl);
	if (look(view, err) < 0)
		return -1;
	volume_client_set_call_timeout(view->looks.client, ANSWER_MS);
	if (screen_open(&view->screen, err) < 0)
		return -1;
	volume_client_set_input(view->looks.client, screen_fd(view->screen));
	return 0;
}

int watch_screen(struct ctl *ctl, struct err *err)
{
	struct view view = { .ctl = ctl, .looks = *ctl, .names_due = true };
	int r, number;

	view.looks.client = NULL;
	r = begin(&view, err);

	if (r == 0)
		r = run(&view, err);
	number = screen_close(view.screen);
	volume_client_value_free(view.volumes);
	volume_client_value_free(view.mappings);
	drop_operations(&view.operations);
	volume_client_close(view.looks.client);
	while (view.event_count > 0)
		free(view.events[--view.event_count]);
	if (number) {
		ctl_disconnect(ctl);
		screen_die(number);
	}
	return r;
}
