/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Answers and errors of methods. Private to api/bus/. */

#include <systemd/sd-bus.h>

#include "core/core.h"

/* The path of the object with this id; the caller frees it. */
char *bus_object_path(enum method_scope scope, const char *id);
int bus_reply_error(sd_bus_message *m, const struct err *err);
/* The method's answer: the path of an object, a record, or an array of records. */
int bus_append_answer(sd_bus_message *reply, const struct method *method,
		      const struct answer *answer);
