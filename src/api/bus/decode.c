/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Arguments that come in over the bus: required arguments by position and the others as options,
 * a{sv}. Each is read by its field, which checks type and limits.
 */

#include "api/bus/decode.h"

#include <assert.h>

#include "io/bus_codec.h"

static const struct field *find_option(const struct method *method, const char *key)
{
	const struct field *field = record_find(method->args, key);

	if (!field || (field->flags & (FIELD_REQUIRED | FIELD_REST_ONLY | FIELD_PRIVATE)))
		return NULL;
	return field;
}

static int unknown_option(const struct method *method, const char *key, struct err *err)
{
	_cleanup_buf_ struct buf known = BUF_NULL;

	for (size_t i = 0; i < method->args->count; i++) {
		if (find_option(method, method->args->fields[i].name))
			buf_printf(&known, "%s%s", known.length ? ", " : "",
				   method->args->fields[i].name);
	}
	return err_set_field(err, key, ERR_INVALID, "%s has no option '%.64s'; it takes %s",
			     method->member, key, known.length ? known.data : "none");
}

static int read_option(sd_bus_message *m, const struct method *method, void *args, uint64_t *seen,
		       struct err *err)
{
	const struct field *field;
	const char *key = NULL;
	uint64_t bit;

	if (sd_bus_message_read_basic(m, 's', &key) < 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	field = find_option(method, key);
	if (!field)
		return unknown_option(method, key, err);
	assert(method->args->count <= 64);
	bit = UINT64_C(1) << (field - method->args->fields);
	if (*seen & bit)
		return err_set_field(err, key, ERR_INVALID, "option '%s' is given twice", key);
	*seen |= bit;
	if (sd_bus_message_enter_container(m, 'v', NULL) <= 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	if (bus_read_field(m, field, args, err) < 0)
		return -1;
	return sd_bus_message_exit_container(m) < 0
		       ? err_set(err, ERR_INVALID, "the options cannot be read")
		       : 0;
}

static int read_options(sd_bus_message *m, const struct method *method, void *args, struct err *err)
{
	uint64_t seen = 0;
	int r;

	if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		if (read_option(m, method, args, &seen, err) < 0)
			return -1;
		if (sd_bus_message_exit_container(m) < 0)
			return err_set(err, ERR_INVALID, "the options cannot be read");
	}
	return r < 0 ? err_set(err, ERR_INVALID, "the options cannot be read") : 0;
}

int bus_decode(sd_bus_message *m, const struct method *method, const struct field *self,
	       const char *id, void *args, struct err *err)
{
	if (self && field_from_text(self, args, id, err) < 0)
		return -1;
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if ((field->flags & FIELD_REQUIRED) && field != self &&
		    bus_read_field(m, field, args, err) < 0)
			return -1;
	}
	return method_bus_has_options(method) ? read_options(m, method, args, err) : 0;
}
