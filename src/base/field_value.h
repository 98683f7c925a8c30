/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The value of a field by its C type, and how a new value gets into it. For the files of base/ that
 * read and write a notation of fields; other layers use base/field.h.
 */

#include "base/field.h"

/* The member by its C type. The types were checked by FIELD() when the table was compiled. */
static inline char **field_text_slot(const struct field *field, void *object)
{
	return field_of(field, object);
}

static inline const char *field_text_value(const struct field *field, const void *object)
{
	return *(char *const *)field_of_const(field, object);
}

/* FIELD_INT, FIELD_PORT, FIELD_TIME and FIELD_DURATION */
static inline int64_t field_int_value(const struct field *field, const void *object)
{
	return *(const int64_t *)field_of_const(field, object);
}

static inline double field_ratio_value(const struct field *field, const void *object)
{
	return *(const double *)field_of_const(field, object);
}

static inline uint64_t field_size_value(const struct field *field, const void *object)
{
	return *(const uint64_t *)field_of_const(field, object);
}

static inline int field_enum_value(const struct field *field, const void *object)
{
	return *(const int *)field_of_const(field, object);
}

static inline int field_descriptor_value(const struct field *field, const void *object)
{
	return *(const int *)field_of_const(field, object);
}

static inline bool field_bool_value(const struct field *field, const void *object)
{
	return *(const bool *)field_of_const(field, object);
}

/* Put a new value into the struct after its checks; a refused value leaves the struct as it was. */
int field_take_string(const struct field *field, void *object, const char *text, struct err *err);
/* FIELD_ENUM */
int field_take_word(const struct field *field, void *object, const char *word, struct err *err);
/* or FIELD_PORT, FIELD_DURATION */
int field_take_int(const struct field *field, void *object, int64_t value, struct err *err);
int field_take_size(const struct field *field, void *object, uint64_t value, struct err *err);
/* "" is not set */
int field_take_time(const struct field *field, void *object, const char *text, struct err *err);
/* ERR_INVALID: "size must be a size such as 5GiB, got …". */
int field_refuse_text(const struct field *field, const char *text, struct err *err);

/* In the largest unit that is exact: "5GiB", or "5 GiB" if gap is " "; 1000 bytes are "1000". */
void field_size_text(uint64_t bytes, const char *gap, struct buf *out);
void field_duration_text(int64_t ms, struct buf *out);
