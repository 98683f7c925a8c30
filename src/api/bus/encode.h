/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers and errors of methods, and objects with their properties. Private to api/bus/. */

#include <systemd/sd-bus.h>

#include "core/core.h"

/* The path of the object with this id; the caller frees it. */
char *bus_object_path(enum method_scope scope, const char *id);
/* The id of the object that an answer shows, by its path; NULL: it shows none. */
const char *bus_answer_id(enum method_scope scope, const struct answer *answer);
int bus_reply_error(sd_bus_message *m, const struct err *err);
/* A message with the same head and neither body nor descriptors, so that a reply to it reaches the
 * caller as the reply to m. */
int bus_copy_head(sd_bus_message *m, sd_bus_message **out);
/* The method's answer: the path of an object, a record, an open file, or an array of records,
 * perhaps with the cursor of the next page. */
int bus_append_answer(sd_bus_message *reply, const struct method *method,
		      const struct answer *answer);

/*
 * Objects. values is a struct of the scope's record; properties that signals do not carry are left
 * out.
 */
/* The interfaces of an object with all their properties: a{sa{sv}}. */
int bus_append_interfaces(sd_bus_message *m, enum method_scope scope, const void *values);
/* The arguments of PropertiesChanged: the fields whose bit is set. */
int bus_append_changed(sd_bus_message *m, enum method_scope scope, const void *values,
		       uint64_t fields);
/* The bytes that the object takes in a list of objects at most. */
size_t bus_object_weight(enum method_scope scope, const void *values);
