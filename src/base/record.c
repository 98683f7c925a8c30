/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole records: each function is a walk over the record's table. A struct is filled with
 * record_init() before anything is read into it, and emptied with record_clear(); the struct owns
 * its texts.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "base/field_value.h"

#define WEIGHT_OF_FIELD 32 /* quotes, signatures, padding, a number */
#define WEIGHT_OF_OBJECT 8 /* "1," in an array of JSON is a variant of 16 bytes on D-Bus */

static bool is_json(const struct field *field)
{
	return field->type == FIELD_OBJECT || field->type == FIELD_ITEMS;
}

static bool is_string(const struct field *field)
{
	return field->type == FIELD_TEXT || field->type == FIELD_UUID || is_json(field);
}

const struct field *record_find(const struct record *record, const char *name)
{
	for (size_t i = 0; i < record->count; i++) {
		if (streq(record->fields[i].name, name))
			return &record->fields[i];
	}
	return NULL;
}

void record_init(const struct record *record, void *object)
{
	memset(object, 0, record->size);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (field->fallback) {
			int r = field_from_text(field, object, field->fallback, NULL);

			/* A default outside its own limits is a mistake in the table. */
			assert(r == 0);
		}
	}
}

void record_clear(const struct record *record, void *object)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (is_string(field))
			free(*field_text_slot(field, object));
		else if (field->type == FIELD_DESCRIPTOR && field_is_set(field, object))
			close(field_descriptor_value(field, object));
	}
	memset(object, 0, record->size);
}

void field_copy(const struct field *field, void *to, const void *from)
{
	if (is_string(field))
		str_set(field_text_slot(field, to), field_text_value(field, from));
	else if (field->type == FIELD_DESCRIPTOR && field_is_set(field, from))
		*(int *)field_of(field, to) =
			fcntl(field_descriptor_value(field, from), F_DUPFD_CLOEXEC, 3);
	else
		memcpy(field_of(field, to), field_of_const(field, from), field->size);
}

void record_copy(const struct record *record, void *to, const void *from)
{
	assert(to != from);
	record_clear(record, to);
	for (size_t i = 0; i < record->count; i++)
		field_copy(&record->fields[i], to, from);
}

static int refuse_unknown(const struct record *record, const char *name, struct err *err)
{
	_cleanup_buf_ struct buf known = BUF_NULL;

	for (size_t i = 0; i < record->count; i++) {
		if (!(record->fields[i].flags & (FIELD_PRIVATE | FIELD_KEY)))
			buf_printf(&known, "%s%s", known.length ? ", " : "",
				   record->fields[i].name);
	}
	return err_set_field(err, name, ERR_INVALID, "unknown field \"%.64s\"; known are: %s", name,
			     str_or(known.data, "none"));
}

int record_from_json(const struct record *record, void *object, const struct json *node,
		     struct err *err)
{
	if (json_kind(node) != JSON_OBJECT)
		return err_set(err, ERR_INVALID, "a JSON object is needed, got %s",
			       json_kind_name(json_kind(node)));
	for (const struct json *member = json_first(node); member; member = json_next(member)) {
		const struct field *field = record_find(record, json_name(member));

		if (!field || (field->flags & FIELD_KEY))
			return refuse_unknown(record, json_name(member), err);
		/* Many clients write null for "nothing". */
		if (json_kind(member) == JSON_NULL && !field_must_be_given(field))
			continue;
		if (field_from_json(field, object, member, err) < 0)
			return -1;
	}
	return 0;
}

/*
 * Only the value of a required member shows whether it was given. A zero that is a proper value
 * (disk number 0, "false", the first word) is taken as given.
 */
static bool is_missing(const struct field *field, const void *object)
{
	if (is_string(field))
		return str_empty(field_text_value(field, object));
	if (field_is_set(field, object))
		return false;
	if (field->type == FIELD_BOOL || field->type == FIELD_ENUM || field->type == FIELD_RATIO)
		return false;
	if (field->type == FIELD_INT || field->type == FIELD_PORT || field->type == FIELD_DURATION)
		return field_check(field, object, NULL) < 0;
	return true;
}

size_t record_weight(const struct record *record, const void *object)
{
	size_t weight = 0;

	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const char *text = is_string(field) ? field_text_value(field, object) : NULL;

		if (field->flags & (FIELD_PRIVATE | FIELD_KEY))
			continue;
		weight += strlen(field->name) + WEIGHT_OF_FIELD;
		if (text)
			weight += (is_json(field) ? WEIGHT_OF_OBJECT : 1) * strlen(text);
	}
	return weight;
}

int record_check_required(const struct record *record, const void *object, struct err *err)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (field->type == FIELD_DESCRIPTOR && field_descriptor_value(field, object) < 0)
			return err_set_field(err, field->name, ERR_UNAVAILABLE,
					     "the open file cannot be kept: %s",
					     strerrordesc_np(EMFILE));
		if (field_must_be_given(field) && is_missing(field, object))
			return err_set_field(err, field->name, ERR_INVALID, "%s is required",
					     field->name);
	}
	return 0;
}

void record_members_to_json(const struct record *record, const void *object, bool with_private,
			    struct json_writer *w)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if ((field->flags & FIELD_KEY) || ((field->flags & FIELD_PRIVATE) && !with_private))
			continue;
		if ((field->flags & FIELD_OMIT) && !field_is_set(field, object))
			continue;
		json_put_name(w, field->name);
		field_to_json(field, object, w);
	}
}

void record_to_json(const struct record *record, const void *object, bool with_private,
		    struct json_writer *w)
{
	json_begin_object(w);
	record_members_to_json(record, object, with_private, w);
	json_end_object(w);
}
