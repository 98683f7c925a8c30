/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The arguments of a method call. Private to api/bus/. */

#include <systemd/sd-bus.h>

#include "spec/methods.h"

/*
 * Into args, an initialised struct of the method. self is the argument that an object stands for,
 * NULL on the Manager; id is the value of self.
 */
int bus_decode(sd_bus_message *m, const struct method *method, const struct field *self,
	       const char *id, void *args, struct err *err);
