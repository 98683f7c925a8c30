/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Records, as lines or as JSON. */

#include <volume-client.h>

#include "base/field.h"
#include "volumectl/terminal.h"

void output_json_value(const struct volume_client_value *value, struct json_writer *w);
void output_json(const struct volume_client_value *value); /* one line on stdout */
void output_line(const char *text);                        /* with '?' for control characters */
/* One record as "name  value" lines, or as JSON. record orders and types the members it knows. */
void output_record(const struct record *record, const struct volume_client_value *dict, bool json);
/* A value for people; field may be NULL: then the value alone tells its kind. */
void output_value(const struct field *field, const struct volume_client_value *value,
		  struct buf *out);
/* How a value is shown: a state that is not well stands out. */
enum style output_style(const struct field *field, const struct volume_client_value *value);
/* 5GiB, 1.5GiB, 512MiB; exact bytes below 1 KiB */
void output_size(uint64_t bytes, struct buf *out);
/* Takes optional fields that are empty out of a dict. */
void output_drop_unset(const struct record *record, struct volume_client_value *fields);
/*
 * A dict of properties (VolumeId) turned in place into a dict of fields (volume_id), without
 * optional fields that are empty.
 */
void output_properties_to_fields(const struct record *record,
				 struct volume_client_value *properties);
