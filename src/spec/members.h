/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What stands in the objects of records, such as the response of an operation: names, types and
 * meaning of the members. They have no struct, so their rows have neither offset nor size; D-Bus
 * takes the types of values from them, and the manual of the bus prints them.
 */

#include "base/field.h"

extern const struct record request_members, response_members, caller_members, time_spent_members,
	transition_members, cloudstack_members, linux_members, last_operation_members,
	client_members, export_report_members, store_check_members, sync_members,
	store_plan_members, health_members, metrics_members, type_count_members,
	status_count_members, reload_members;

/*
 * Values that D-Bus shows in another way than REST (field.bus_text): words in the place of a device
 * are left out, and an error has the name that an error of D-Bus has.
 */
const char *bus_device(const char *path, const void *object);
/* object: a struct operation_record */
const char *bus_error_name(const char *word, const void *object);
