/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The files are read on a thread, since a file can lie on a server that does not answer. A request
 * that comes while they are being read waits for the next reading: its client may have changed a
 * file that was read already. So many requests at once cost two readings. A request that only
 * looks, for a plan, shares the reading, and is answered before anything changes.
 *
 * systemd learns when a reload begins and ends, and from the status why one was refused.
 */

#include "daemon/reload.h"

#include <assert.h>
#include <inttypes.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/queue.h"
#include "daemon/settings.h"
#include "io/blocking.h"
#include "spec/messages.h"
#include "store/open.h"

#define READ_MS 30000
#define HUNG_MAX 2

struct ticket {
	struct reload_ticket base;
	TAILQ_ENTRY(ticket) entry;
	struct reload *reload;
	bool is_served; /* by the reading under way */
	bool only_looks;
	reload_done_fn done;
	void *arg;
};

/* On the thread. */
struct work {
	char *path;
	bool must_exist;
	struct settings *settings; /* the result; NULL: err says why there is none */
	struct err err;
};

struct reload {
	struct reload_options options;
	struct reloader door;
	struct blocking_pool *pool;
	struct blocking_call call;
	bool reading;
	bool takes_over; /* the reading is not for looks alone */
	bool again;      /* a signal came meanwhile */
	TAILQ_HEAD(, ticket) tickets;
};

/* ---- reading, on the thread ---- */

static void run_work(void *arg)
{
	struct work *work = arg;

	work->settings = settings_read(work->path, work->must_exist, &work->err);
}

static void free_work(void *arg)
{
	struct work *work = arg;

	settings_free(work->settings);
	free(work->path);
	free(work);
}

/* ---- comparing ---- */

struct comparison {
	struct settings *now; /* in force */
	struct settings *fresh;
	bool only_looks;
	struct buf changed, needs_restart; /* keys, with ", " between them */
	enum reload_effect effect;
};

static void add_key(struct buf *keys, const struct field *field)
{
	_cleanup_free_ char *key = config_key(field);

	buf_printf(keys, "%s%s", keys->length ? ", " : "", key);
}

static bool is_key(const struct field *field, const char *member)
{
	return streq(field->name, member);
}

/* The secrets that a key stands for, in force and fresh; NULL: none. */
static struct secret **secret_of(const struct field *field, struct settings *settings)
{
	if (is_key(field, "cloud_api_key_file"))
		return &settings->api_key;
	if (is_key(field, "cloud_secret_key_file"))
		return &settings->secret_key;
	return is_key(field, "store_password_file") ? &settings->store_password : NULL;
}

/* The daemon cannot forget how to reach CloudStack while operations may wait for it. */
static bool is_taken_away(const struct comparison *comparison, const struct field *field)
{
	struct secret **now = secret_of(field, comparison->now);
	struct secret **fresh = secret_of(field, comparison->fresh);

	if (store_url_has_access(comparison->now->config.store_url))
		return false;
	if (is_key(field, "cloud_url"))
		return comparison->now->config.cloud_url && !comparison->fresh->config.cloud_url;
	return now && *now && !*fresh;
}

static bool is_same(const struct comparison *comparison, const struct field *field)
{
	struct secret **now = secret_of(field, comparison->now);
	struct secret **fresh = secret_of(field, comparison->fresh);

	return field_is_same(field, &comparison->now->config, &comparison->fresh->config) &&
	       (!now || secret_equals(*now, *fresh));
}

static void take(struct comparison *comparison, const struct field *field)
{
	struct secret **now = secret_of(field, comparison->now);
	struct secret **fresh = secret_of(field, comparison->fresh);

	field_copy(field, &comparison->now->config, &comparison->fresh->config);
	if (now) {
		secret_free(*now);
		*now = TAKE_PTR(*fresh);
	}
	if (now || is_key(field, "cloud_url") || is_key(field, "cloud_zone") ||
	    is_key(field, "appliance_vm_id"))
		comparison->effect = RELOAD_EFFECT_ACCESS;
}

static void compare(struct comparison *comparison)
{
	for (size_t i = 0; i < config_record.count; i++) {
		const struct field *field = &config_record.fields[i];

		if (is_same(comparison, field))
			continue;
		if (!(field->flags & CONFIG_LIVE) || is_taken_away(comparison, field)) {
			add_key(&comparison->needs_restart, field);
		} else {
			if (!comparison->only_looks)
				take(comparison, field);
			add_key(&comparison->changed, field);
		}
	}
	if (comparison->only_looks)
		return;
	config_source_clear(&comparison->now->source);
	comparison->now->source = comparison->fresh->source;
	comparison->fresh->source = (struct config_source){ 0 };
}

/* ---- telling ---- */

static void tell_systemd(const char *state, const char *status)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "%s\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=%s", state,
		   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, status);
}

static void put_keys(struct json_writer *w, const char *name, const struct buf *keys)
{
	_cleanup_free_ char *words = xstrdup(str_or(keys->data, ""));
	char *rest = NULL;

	json_put_name(w, name);
	json_begin_array(w);
	for (char *word = strtok_r(words, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest))
		json_put_text(w, word);
	json_end_array(w);
}

static char *report_json(const struct comparison *comparison)
{
	struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	put_keys(&w, "changed", &comparison->changed);
	put_keys(&w, "needs_restart", &comparison->needs_restart);
	json_end_object(&w);
	return buf_take(&text);
}

static char *message(const struct comparison *comparison)
{
	const char *changed = comparison->changed.data;
	const char *restart = comparison->needs_restart.data;

	if (!changed && !restart)
		return xstrdup("the configuration was read, and nothing in it has changed");
	if (!restart)
		return xasprintf("the configuration was read; changed: %s", changed);
	return xasprintf("the configuration was read; changed: %s; these need a restart: %s",
			 str_or(changed, "nothing"), restart);
}

static struct ticket *next_served(struct reload *reload, bool only_looks)
{
	struct ticket *ticket;

	TAILQ_FOREACH(ticket, &reload->tickets, entry) {
		if (ticket->is_served && ticket->only_looks == only_looks)
			return ticket;
	}
	return NULL;
}

static void answer(struct reload *reload, bool only_looks, const struct reload_record *record,
		   const struct err *err)
{
	struct ticket *ticket;

	/* Each round begins with the first, since done() may cancel any. */
	while ((ticket = next_served(reload, only_looks))) {
		reload_done_fn done = ticket->done;
		void *arg = ticket->arg;

		TAILQ_REMOVE(&reload->tickets, ticket, entry);
		free(ticket);
		done(arg, record, err);
	}
}

static void refuse(struct reload *reload, const struct err *why)
{
	struct err err = *why;

	err.field[0] = '\0';
	err_prefix(&err, "the configuration is refused, and the old one stays in force");
	answer(reload, true, NULL, &err);
	if (!reload->takes_over)
		return;
	log_tell(LOG_LEVEL_WARNING, (.message_id = messages[MESSAGE_CONFIG_REFUSED].id), "%s",
		 err.text);
	tell_systemd("READY=1", err.text);
	answer(reload, false, NULL, &err);
}

static void show(struct reload *reload, struct settings *fresh)
{
	struct comparison comparison = {
		.now = reload->options.settings,
		.fresh = fresh,
		.only_looks = true,
	};
	struct reload_record record = { .timestamp = clock_wall_ms() };
	const struct err none = { 0 };

	if (!next_served(reload, true))
		return;
	compare(&comparison);
	record.message = message(&comparison);
	record.report = report_json(&comparison);
	answer(reload, true, &record, &none);
	record_clear(&reload_record, &record);
	buf_clear(&comparison.changed);
	buf_clear(&comparison.needs_restart);
}

static void take_over(struct reload *reload, struct settings *fresh)
{
	struct comparison comparison = { .now = reload->options.settings, .fresh = fresh };
	struct reload_record record = { .timestamp = clock_wall_ms() };
	const struct err none = { 0 };

	compare(&comparison);
	reload->options.apply(reload->options.arg, comparison.effect);
	record.message = message(&comparison);
	record.report = report_json(&comparison);
	log_tell(LOG_LEVEL_NOTICE, (.message_id = messages[MESSAGE_CONFIG_RELOADED].id), "%s",
		 record.message);
	tell_systemd("READY=1", "");
	answer(reload, false, &record, &none);
	record_clear(&reload_record, &record);
	buf_clear(&comparison.changed);
	buf_clear(&comparison.needs_restart);
}

/* ---- requests ---- */

/* signalled: whatever the tickets want. */
static void begin(struct reload *reload, bool signalled)
{
	const struct config_source *source = &reload->options.settings->source;
	struct work *work = xnew(struct work);
	struct ticket *ticket;

	TAILQ_FOREACH(ticket, &reload->tickets, entry)
		ticket->is_served = true;
	reload->reading = true;
	reload->takes_over = signalled || next_served(reload, false);
	reload->again = false;
	work->path = xstrdup(source->path);
	/* A file that was there and is gone was hardly taken away to have all defaults. */
	work->must_exist = source->exists;
	if (reload->takes_over)
		tell_systemd("RELOADING=1", "");
	blocking_start(reload->pool, &reload->call, "reading", work->path, work);
}

/* The caller's request was right. */
static const struct err *blame_files(struct err *err)
{
	err->code = ERR_CONFLICT;
	return err;
}

static void use(struct reload *reload, struct settings *fresh)
{
	show(reload, fresh);
	if (reload->takes_over)
		take_over(reload, fresh);
}

static void on_read(struct blocking_call *call, void *arg, const struct err *err)
{
	struct reload *reload = container_of(call, struct reload, call);
	struct work *work = arg;

	if (!work)
		refuse(reload, err);
	else if (!work->settings)
		refuse(reload, blame_files(&work->err));
	else
		use(reload, work->settings);
	reload->reading = false;
	if (reload->again || !TAILQ_EMPTY(&reload->tickets))
		begin(reload, reload->again);
}

static void cancel_ticket(struct reload_ticket *base)
{
	struct ticket *ticket = container_of(base, struct ticket, base);

	TAILQ_REMOVE(&ticket->reload->tickets, ticket, entry);
	free(ticket);
}

static struct reload_ticket *request(void *self, bool only_looks, reload_done_fn done, void *arg)
{
	struct reload *reload = self;
	struct ticket *ticket = xnew(struct ticket);

	ticket->base.cancel = cancel_ticket;
	ticket->reload = reload;
	ticket->only_looks = only_looks;
	ticket->done = done;
	ticket->arg = arg;
	TAILQ_INSERT_TAIL(&reload->tickets, ticket, entry);
	if (!reload->reading)
		begin(reload, false);
	return &ticket->base;
}

void reload_soon(struct reload *reload)
{
	if (reload->reading)
		reload->again = true;
	else
		begin(reload, true);
}

const struct reloader *reload_door(const struct reload *reload)
{
	return &reload->door;
}

struct reload *reload_new(const struct reload_options *options)
{
	const struct blocking_options pool = {
		.name = "settings",
		.at_once = 1,
		.hung_max = HUNG_MAX,
		.timeout_ms = READ_MS,
		.run = run_work,
		.free_work = free_work,
	};
	struct reload *reload = xnew(struct reload);

	reload->options = *options;
	reload->door = (struct reloader){ .self = reload, .request = request };
	reload->call.done = on_read;
	reload->pool = blocking_pool_new(options->loop, &pool);
	TAILQ_INIT(&reload->tickets);
	return reload;
}

struct reload *reload_free(struct reload *reload)
{
	if (!reload)
		return NULL;
	assert(TAILQ_EMPTY(&reload->tickets));
	if (reload->reading)
		blocking_cancel(&reload->call);
	blocking_pool_free(reload->pool);
	free(reload);
	return NULL;
}
