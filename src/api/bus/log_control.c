/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * sd-bus would ask for the rights of a property's writer with a call that blocks. So a callback of
 * the object sees Properties.Set before the vtable does, asks as for each other change (auth.h) and
 * answers later; the vtable answers the readers.
 */

#include "api/bus/log_control.h"

#include <errno.h>

#include "api/bus/encode.h"
#include "base/log.h"

#define PATH "/org/freedesktop/LogControl1"
#define INTERFACE "org.freedesktop.LogControl1"
#define CHANGES_MAX 16

struct log_change {
	TAILQ_ENTRY(log_change) entry;
	struct bus_log_control *control;
	sd_bus_message *m;
	struct auth_check *check;
	bool is_target;
	int value;
};

/* syslog(3)'s words; several of them are one level of ours. */
static const struct {
	const char *word;
	enum log_level level;
} syslog_words[] = {
	/* the first of each level is the word that is shown */
	{ "err", LOG_LEVEL_ERROR },     { "warning", LOG_LEVEL_WARNING },
	{ "notice", LOG_LEVEL_NOTICE }, { "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },   { "crit", LOG_LEVEL_ERROR },
	{ "alert", LOG_LEVEL_ERROR },   { "emerg", LOG_LEVEL_ERROR },
};

static int find_level(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(syslog_words); i++) {
		if (streq(syslog_words[i].word, word))
			return (int)syslog_words[i].level;
	}
	return -1;
}

static int find_target(const char *word)
{
	for (int i = 0; i < LOG_TARGET_COUNT; i++) {
		if (streq(log_target_names[i], word))
			return i;
	}
	return -1;
}

static const char *level_word(enum log_level level)
{
	size_t i = 0;

	while (syslog_words[i].level != level)
		i++;
	return syslog_words[i].word;
}

static int get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const char *value = "volume-daemon";

	if (streq(property, "LogLevel"))
		value = level_word(log_get_level());
	else if (streq(property, "LogTarget"))
		value = log_target_names[log_get_target()];
	return sd_bus_message_append(reply, "s", value);
}

/* on_message() answers each Set. */
static int refuse_property(sd_bus *bus, const char *path, const char *interface,
			   const char *property, sd_bus_message *value, void *userdata,
			   sd_bus_error *error)
{
	return -EPERM;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_property, refuse_property, 0, 0),
	SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_property, refuse_property, 0, 0),
	SD_BUS_PROPERTY("SyslogIdentifier", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};

static void drop(struct log_change *change)
{
	TAILQ_REMOVE(&change->control->changes, change, entry);
	change->control->count--;
	if (change->check)
		auth_check_cancel(change->check);
	sd_bus_message_unref(change->m);
	free(change);
}

void bus_log_control_cancel(struct bus_log_control *control)
{
	while (!TAILQ_EMPTY(&control->changes))
		drop(TAILQ_FIRST(&control->changes));
	control->auth = NULL;
}

static void apply(const struct log_change *change)
{
	const char *sender = sd_bus_message_get_sender(change->m);

	if (change->is_target) {
		log_set_target((enum log_target)change->value);
		log_notice("the log goes to %s now, as %s has asked",
			   log_target_names[change->value], sender);
	} else {
		log_set_level((enum log_level)change->value);
		log_notice("the log level of all modules is %s now, as %s has asked",
			   log_level_names[change->value], sender);
	}
}

static void on_authorised(void *arg, enum method_access granted, uid_t uid, const struct err *err)
{
	struct log_change *change = arg;

	change->check = NULL;
	if (err) {
		bus_reply_error(change->m, err);
	} else {
		apply(change);
		sd_bus_reply_method_return(change->m, NULL);
	}
	drop(change);
}

static int begin(struct bus_log_control *control, sd_bus_message *m, bool is_target, int value)
{
	struct log_change *change;
	struct err err = { 0 };

	if (control->count >= CHANGES_MAX) {
		err_set(&err, ERR_TOO_MANY,
			"%zu changes of the log wait for their authorisation already",
			control->count);
		bus_reply_error(m, &err);
		return 1; /* also if nobody reads the reply: the vtable must not see the call */
	}
	change = xnew(struct log_change);
	change->control = control;
	change->m = sd_bus_message_ref(m);
	change->is_target = is_target;
	change->value = value;
	TAILQ_INSERT_TAIL(&control->changes, change, entry);
	control->count++;
	change->check =
		auth_check_start(control->auth, change->m, ACCESS_ADMIN, on_authorised, change);
	return 1;
}

/* 0: the vtable answers. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *interface, *property, *word;
	bool is_target;
	int value;

	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Set") <= 0)
		return 0;
	if (sd_bus_message_read(m, "ssv", &interface, &property, "s", &word) < 0)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"an interface, a property and its new text are needed");
	is_target = streq(property, "LogTarget");
	if (!streq(interface, INTERFACE) || (!is_target && !streq(property, "LogLevel")))
		return sd_bus_error_setf(error, SD_BUS_ERROR_PROPERTY_READ_ONLY,
					 "%s.%s cannot be set", interface, property);
	value = is_target ? find_target(word) : find_level(word);
	if (value < 0)
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "%s cannot be \"%s\"",
					 property, word);
	return begin(userdata, m, is_target, value);
}

void bus_log_control_init(struct bus_log_control *control)
{
	*control = (struct bus_log_control){ 0 };
	TAILQ_INIT(&control->changes);
}

int bus_log_control_register(struct bus_log_control *control, sd_bus *sd_bus, struct auth_bus *auth)
{
	int r = sd_bus_add_object(sd_bus, NULL, PATH, on_message, control);

	control->auth = auth;
	return r < 0 ? r : sd_bus_add_object_vtable(sd_bus, NULL, PATH, INTERFACE, vtable, control);
}
