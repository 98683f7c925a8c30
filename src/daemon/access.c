/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * For each value, the configuration comes before the row. If the configuration has all values, the
 * table is not even read.
 *
 * The row belongs to another program. A fault in it is reported once, and the values read before
 * stay in use: a table that is being rebuilt, or a right taken away by mistake, must not stop the
 * work of a daemon that is well.
 */

#include "daemon/access.h"

#include "base/log.h"
#include "base/uuid.h"
#include "daemon/settings.h"
#include "store/store.h"

#define LOOK_MS 5000
#define ZONE_MAX 255

struct access {
	struct access_options options;
	/* the configuration lacks a needed value that the row can hold */
	bool follows;
	bool looks; /* the row is wanted, if only for the zone */
	struct loop_timer look;
	struct store_access row; /* the last row that could be read */
	char told[ERR_TEXT_SIZE];
};

/* ---- configuration or row ---- */

static const struct config *config_of(const struct access *access)
{
	return &access->options.settings->config;
}

const char *access_url(const struct access *access)
{
	const char *configured = config_of(access)->cloud_url;

	return configured ? configured : access->row.url;
}

const struct secret *access_api_key(const struct access *access)
{
	const struct secret *configured = access->options.settings->api_key;

	return configured ? configured : access->row.api_key;
}

const struct secret *access_secret_key(const struct access *access)
{
	const struct secret *configured = access->options.settings->secret_key;

	return configured ? configured : access->row.secret_key;
}

const char *access_appliance_id(const struct access *access)
{
	const char *configured = config_of(access)->appliance_vm_id;

	return configured ? configured : access->row.appliance_id;
}

const char *access_zone(const struct access *access)
{
	const char *configured = config_of(access)->cloud_zone;

	return configured ? configured : access->row.zone;
}

bool access_follows(const struct access *access)
{
	return access->follows;
}

int access_check_values(const char *url, const struct secret *api_key,
			const struct secret *secret_key, bool has_row, struct err *err)
{
	const char *nor = has_row ? ", nor is it in an active row of table ossea_configs" : "";

	if (!url)
		return err_set(err, ERR_INVALID, "cloud.url is not set%s", nor);
	if (!api_key)
		return err_set(
			err, ERR_INVALID,
			"cloud.api_key_file is not set, and there is no systemd credential cloudstack-api-key%s",
			nor);
	if (!secret_key)
		return err_set(
			err, ERR_INVALID,
			"cloud.secret_key_file is not set, and there is no systemd credential "
			"cloudstack-secret-key%s",
			nor);
	return 0;
}

int access_check(const struct access *access, struct err *err)
{
	return access_check_values(access_url(access), access_api_key(access),
				   access_secret_key(access), access->follows, err);
}

/* ---- the row ---- */

static void add_word(struct buf *words, bool wanted, const char *word)
{
	if (wanted)
		buf_printf(words, "%s%s", words->length ? ", " : "", word);
}

static void tell_row(const struct access *access)
{
	const struct settings *settings = access->options.settings;
	const struct config *config = &settings->config;
	const struct store_access *row = &access->row;
	const char *name = row->name && str_is_plain_text(row->name) ? row->name : "";
	_cleanup_buf_ struct buf said = BUF_NULL, open = BUF_NULL;

	add_word(&said, !config->cloud_url && row->url, "api_url");
	add_word(&said, !settings->api_key && row->api_key, "api_key");
	add_word(&said, !settings->secret_key && row->secret_key, "secret_key");
	add_word(&said, !config->appliance_vm_id && row->appliance_id, "oma_vm_id");
	add_word(&said, !config->cloud_zone && row->zone, "zone");
	add_word(&open, !access_url(access), "api_url");
	add_word(&open, !access_api_key(access), "api_key");
	add_word(&open, !access_secret_key(access), "secret_key");
	add_word(&open, !access_appliance_id(access), "oma_vm_id");
	if (row->active > 1)
		log_warning(
			"%zu rows of table ossea_configs are active; \"%s\", changed last, counts",
			row->active, name);
	log_notice("taken from row \"%s\" of table ossea_configs: %s", name,
		   said.length ? said.data : "nothing");
	if (open.length)
		log_notice(
			"neither the configuration nor row \"%s\" of table ossea_configs has: %s",
			name, open.data);
}

static void tell_trouble(struct access *access, const struct err *err)
{
	const char *stays = access->row.mark ? "; the values read before stay in use" : "";

	/* The store's own health reports an unavailable database. */
	if (err->code == ERR_UNAVAILABLE || streq(access->told, err->text))
		return;
	memcpy(access->told, err->text, sizeof(access->told));
	if (err->code == ERR_NOT_FOUND)
		log_notice("%s%s", err->text, stays);
	else
		log_warning("%s%s", err->text, stays);
}

static void drop_bad_id(const char *column, char **id)
{
	if (!*id || uuid_is_valid(*id))
		return;
	log_warning("%s in table ossea_configs is no UUID and is not used", column);
	str_set(id, NULL);
}

/* CloudStack's names of zones have at most 255 characters. */
static void drop_bad_zone(char **zone)
{
	if (!*zone || (str_is_plain_text(*zone) && strlen(*zone) <= ZONE_MAX))
		return;
	log_warning(
		"zone in table ossea_configs is too long, or has control characters, and is not used");
	str_set(zone, NULL);
}

static void clean_key(const char *column, struct secret **key)
{
	_cleanup_free_ char *place = xasprintf("%s in table ossea_configs", column);
	struct secret *cleaned;
	struct err err;

	if (!*key)
		return;
	cleaned = secret_new_key(secret_bytes(*key), place, &err);
	if (!cleaned)
		log_warning("%s; it is not used", err.text);
	secret_free(*key);
	*key = cleaned;
}

static void clean_text(char **text)
{
	size_t length = strlen(str_or(*text, ""));
	_cleanup_free_ char *cleaned = NULL;
	const char *part;

	if (!*text)
		return;
	part = utf8_trim(*text, &length);
	cleaned = xstrndup(part, length);
	str_set(text, length ? cleaned : NULL);
}

static void clean_row(struct store_access *row)
{
	clean_text(&row->url);
	clean_text(&row->appliance_id);
	clean_text(&row->zone);
	clean_key("api_key", &row->api_key);
	clean_key("secret_key", &row->secret_key);
	drop_bad_id("oma_vm_id", &row->appliance_id);
	drop_bad_zone(&row->zone);
}

/* Takes the result. True if the row has other values than before. */
static bool take(struct access *access, struct store_access *result)
{
	if (result->err.code || result->same) {
		if (result->err.code)
			tell_trouble(access, &result->err);
		else
			access->told[0] = '\0';
		store_access_clear(result);
		return false;
	}
	access->told[0] = '\0';
	clean_row(result);
	store_access_clear(&access->row);
	access->row = *result;
	tell_row(access);
	return true;
}

static void on_looked(void *arg, struct store_access *result)
{
	struct access *access = arg;

	if (!access->looks) {
		store_access_clear(result);
		return;
	}
	if (take(access, result))
		access->options.changed(access->options.arg);
	loop_timer_set(access->options.loop, &access->look, LOOK_MS);
}

static void on_look(struct loop_timer *timer)
{
	struct access *access = container_of(timer, struct access, look);

	store_look_access(access->options.store, access->row.mark, on_looked, access);
}

/* ---- opening ---- */

static void decide(struct access *access)
{
	const struct settings *settings = access->options.settings;
	const struct config *config = &settings->config;
	bool whole = config->cloud_url && settings->api_key && settings->secret_key &&
		     config->appliance_vm_id;

	access->follows = store_has_access(access->options.store) && !whole;
	access->looks =
		access->follows || (store_has_access(access->options.store) && !config->cloud_zone);
}

struct access *access_open(const struct access_options *options)
{
	struct access *access = xnew(struct access);
	struct store_access row;

	access->options = *options;
	access->look.fire = on_look;
	decide(access);
	if (!access->looks)
		return access;
	store_read_access(options->store, &row);
	take(access, &row);
	loop_timer_set(options->loop, &access->look, LOOK_MS);
	return access;
}

void access_note_settings(struct access *access)
{
	bool looked = access->looks;

	decide(access);
	if (!access->looks)
		loop_timer_clear(access->options.loop, &access->look);
	else if (!looked)
		loop_timer_set(access->options.loop, &access->look, 0);
}

struct access *access_free(struct access *access)
{
	if (!access)
		return NULL;
	loop_timer_clear(access->options.loop, &access->look);
	store_access_clear(&access->row);
	free(access);
	return NULL;
}
