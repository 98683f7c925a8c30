/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A command line as the arguments of a method, and the call. */

#include "volumectl/ctl.h"

struct request {
	const struct method *method;
	void *args;     /* the method's argument struct */
	uint64_t given; /* bit i: field i has a value */
};

void request_init(struct request *request, const struct method *method);
void request_clear(struct request *request);
/*
 * Reads the words after the command, which is argv[0], and the id of this machine if the method
 * needs a virtual machine and the user named none. 0, an exit code (reported already), or
 * OPTIONS_HELP.
 */
int request_read(struct ctl *ctl, struct request *request, int argc, char **argv);
/* Free *reply with sd_bus_message_unref(). */
int request_call(struct ctl *ctl, const struct request *request, sd_bus_message **reply,
		 struct err *err);
