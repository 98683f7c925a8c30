/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A message as a tree. Variants are opened, since only their content matters; integers of all
 * widths become one of two 64-bit kinds. The bus bounds the depth of a message (64 levels), so the
 * recursion is bounded as well.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void value_clear(struct volume_client_value *value)
{
	free(value->key);
	switch (value->kind) {
	case VOLUME_CLIENT_TEXT:
		free(value->text);
		break;
	case VOLUME_CLIENT_LIST:
	case VOLUME_CLIENT_DICT:
		for (size_t i = 0; i < value->count; i++)
			value_clear(&value->items[i]);
		free(value->items);
		break;
	case VOLUME_CLIENT_BOOL:
	case VOLUME_CLIENT_INTEGER:
	case VOLUME_CLIENT_UNSIGNED:
	case VOLUME_CLIENT_NUMBER:
		break;
	}
}

PUBLIC struct volume_client_value *volume_client_value_free(struct volume_client_value *value)
{
	if (value)
		value_clear(value);
	free(value);
	return NULL;
}

static int read_value(sd_bus_message *m, struct volume_client_value *value);

/* A new item at the end, zeroed (an empty bool, so that it can be cleared at any time). */
static struct volume_client_value *add_item(struct volume_client_value *value)
{
	size_t count = value->count;
	struct volume_client_value *items = value->items;

	/* Room doubles: if the count is a power of two, the array is full. */
	if ((count & (count - 1)) == 0) {
		items = reallocarray(items, count ? 2 * count : 1, sizeof(*items));
		if (!items)
			return NULL;
		value->items = items;
	}
	memset(&items[count], 0, sizeof(*items));
	value->count++;
	return &items[count];
}

static int read_entry(sd_bus_message *m, struct volume_client_value *item)
{
	const char *key;
	int r = sd_bus_message_enter_container(m, 'e', NULL);

	if (r > 0)
		r = sd_bus_message_read_basic(m, 's', &key);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	item->key = strdup(key);
	if (!item->key)
		return -ENOMEM;
	r = read_value(m, item);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_items(sd_bus_message *m, struct volume_client_value *value)
{
	struct volume_client_value *item;
	int r;

	while ((r = sd_bus_message_at_end(m, false)) == 0) {
		item = add_item(value);
		if (!item)
			return -ENOMEM;
		r = value->kind == VOLUME_CLIENT_DICT ? read_entry(m, item) : read_value(m, item);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int read_container(sd_bus_message *m, char type, const char *contents,
			  struct volume_client_value *value)
{
	int r = sd_bus_message_enter_container(m, type, contents);

	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	if (type == 'v') {
		r = read_value(m, value);
	} else {
		value->kind =
			type == 'a' && contents[0] == '{' ? VOLUME_CLIENT_DICT : VOLUME_CLIENT_LIST;
		value->items = NULL;
		value->count = 0;
		r = read_items(m, value);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_text(sd_bus_message *m, char type, struct volume_client_value *value)
{
	const char *text;
	int r = sd_bus_message_read_basic(m, type, &text);
	char *copy = r < 0 ? NULL : strdup(text);

	if (r < 0 || !copy)
		return r < 0 ? r : -ENOMEM;
	value->kind = VOLUME_CLIENT_TEXT;
	value->text = copy;
	return 0;
}

static int read_number(sd_bus_message *m, char type, struct volume_client_value *value)
{
	union {
		uint8_t y;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
		int b;
	} v;
	int r = sd_bus_message_read_basic(m, type, &v);

	if (r < 0)
		return r;
	switch (type) {
	case 'b':
		value->kind = VOLUME_CLIENT_BOOL;
		value->boolean = v.b;
		break;
	case 'd':
		value->kind = VOLUME_CLIENT_NUMBER;
		value->number = v.d;
		break;
	case 'n':
	case 'i':
	case 'x':
		value->kind = VOLUME_CLIENT_INTEGER;
		value->integer = type == 'n' ? v.n : type == 'i' ? v.i : v.x;
		break;
	default:
		value->kind = VOLUME_CLIENT_UNSIGNED;
		value->natural = type == 'y' ? v.y : type == 'q' ? v.q : type == 'u' ? v.u : v.t;
		break;
	}
	return 0;
}

static int read_value(sd_bus_message *m, struct volume_client_value *value)
{
	const char *contents;
	char type;
	int r = sd_bus_message_peek_type(m, &type, &contents);

	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	if (strchr("avr", type))
		return read_container(m, type, contents, value);
	if (strchr("sog", type))
		return read_text(m, type, value);
	if (strchr("ynqiuxtdb", type))
		return read_number(m, type, value);
	return -EOPNOTSUPP;
}

PUBLIC int volume_client_read(sd_bus_message *message, struct volume_client_value **out,
			      struct volume_client_error *error)
{
	struct volume_client_value *value = calloc(1, sizeof(*value));
	int r = value ? read_value(message, value) : -ENOMEM;

	if (r < 0) {
		volume_client_value_free(value);
		return client_fail_errno(error, r, "reading the answer");
	}
	*out = value;
	return 0;
}

struct volume_client_value *client_read_arguments(sd_bus_message *m)
{
	struct volume_client_value *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->kind = VOLUME_CLIENT_LIST;
	return read_items(m, list) < 0 ? volume_client_value_free(list) : list;
}

PUBLIC int volume_client_properties(struct volume_client *client, const char *path,
				    const char *interface, struct volume_client_value **value,
				    struct volume_client_error *error)
{
	sd_bus_message *reply = NULL;
	int r;

	if (volume_client_call(client, path, "org.freedesktop.DBus.Properties", "GetAll", &reply,
			       error, "s", interface ? interface : VOLUME_CLIENT_MANAGER) < 0)
		return -1;
	r = volume_client_read(reply, value, error);
	sd_bus_message_unref(reply);
	return r;
}

PUBLIC const struct volume_client_value *volume_client_get(const struct volume_client_value *dict,
							   const char *key)
{
	if (!dict || dict->kind != VOLUME_CLIENT_DICT)
		return NULL;
	for (size_t i = 0; i < dict->count; i++) {
		if (strcmp(dict->items[i].key, key) == 0)
			return &dict->items[i];
	}
	return NULL;
}

PUBLIC void volume_client_remove(struct volume_client_value *dict, const char *key)
{
	size_t index;

	if (!volume_client_get(dict, key))
		return;
	index = (size_t)(volume_client_get(dict, key) - dict->items);
	value_clear(&dict->items[index]);
	dict->count--;
	memmove(&dict->items[index], &dict->items[index + 1],
		(dict->count - index) * sizeof(dict->items[0]));
}

PUBLIC const char *volume_client_text(const struct volume_client_value *value)
{
	return value && value->kind == VOLUME_CLIENT_TEXT ? value->text : "";
}
