/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A command line as the arguments of a method, and the call. */

#include "volumectl/ctl.h"

#define REQUEST_FIELDS_MAX 64

struct request {
	const struct method *method;
	void *args;     /* the method's argument struct */
	uint64_t given; /* bit i: field i has a value */
	/* Field i is to be the id of the object that the user calls so; names_resolve() makes it.
	 */
	const char *names[REQUEST_FIELDS_MAX];
	/* Two or more words for a field of FIELD_MANY, which is then without a value. */
	char **many;
	size_t many_count, many_field;
	const char *own[OWN_OPTION_COUNT]; /* the value of the option, "" if it has none */
};

void request_init(struct request *request, const struct method *method);
void request_clear(struct request *request);
/* The index of a field; SIZE_MAX: the method has no such argument. */
size_t request_field(const struct request *request, const char *name);
/*
 * Reads the words after the command, which is argv[0], and the id of this machine if the method
 * needs a virtual machine and the user named none. 0, an exit code (reported already), or
 * OPTIONS_HELP.
 */
int request_read(struct ctl *ctl, struct request *request, int argc, char **argv);
/* The value of an option of own_options[], NULL: it was not given. */
const char *request_own(const struct request *request, const char *name);
/* A value for field index from a word; label names the field in errors. 0 or EXIT_USAGE. */
int request_set(struct request *request, size_t index, const char *label, const char *text);
/* Free *reply with sd_bus_message_unref(). */
int request_call(struct ctl *ctl, const struct request *request, sd_bus_message **reply,
		 struct err *err);
/* The object of an answer that is a path, as a dict of the scope's fields. */
int request_object(struct ctl *ctl, enum method_scope scope, const char *path,
		   struct volume_client_value **fields, struct err *err);
