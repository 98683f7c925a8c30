/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Records and JSON on one side, sd-bus messages on the other: the contents of messages between
 * daemon and volumectl. Functions that append return sd-bus's negative errno; functions that read
 * return 0 or -1, and then err names the mistake of the method's caller.
 */

#include <systemd/sd-bus.h>

#include "base/field.h"

/* The public fields of an object as a{sv}; optional ones that are not set are left out. */
int bus_append_record(sd_bus_message *m, const struct record *record, const void *object);
/* One field by its declared type, for a property or a positional value. */
int bus_append_field(sd_bus_message *m, const struct field *field, const void *object);
/* Its name and its value in a variant: one entry of an a{sv}. */
int bus_append_entry(sd_bus_message *m, const struct field *field, const void *object);
/* Whether the two values look the same on the bus. */
bool bus_field_is_same(const struct field *field, const void *a, const void *b);
/* Appends text as valid UTF-8: the bus disconnects a sender of other text. */
int bus_append_text(sd_bus_message *m, const char *text);
/* Appends text that is known to be valid UTF-8, such as a name of the program's own; sd-bus itself
 * would check each character once more. */
int bus_append_plain(sd_bus_message *m, const char *text);

/*
 * The next value of m into a field, limits checked. Integers of any width are taken if the value
 * fits exactly; every other type must be the declared one.
 */
int bus_read_field(sd_bus_message *m, const struct field *field, void *object, struct err *err);
/* The next value of m as JSON. Bounded in depth, and in length by max_length. */
int bus_read_json(sd_bus_message *m, struct buf *out, size_t max_length, struct err *err);
