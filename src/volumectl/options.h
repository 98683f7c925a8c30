/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How commands look on the command line, for the reader of it and for the help texts. */

#include <getopt.h>

#include "spec/methods.h"

struct options {
	const char *address; /* of the bus, NULL the system's */
	bool json;
	bool no_wait;
	int64_t timeout_ms; /* of waiting, 0 none */
};

const struct method *command_find(const char *name); /* NULL: no row has it */
/* Option name of a field: its own, or the field's name with dashes. */
void command_option_name(const struct field *field, char out[64]);
bool command_is_positional(const struct method *method, const struct field *field);
bool command_is_option(const struct method *method, const struct field *field);

/* An option every command knows. 1: taken, 0: not one of these, -1: it is wrong (told already). */
int command_common_option(struct options *options, int code, const char *value);
#define COMMON_OPTIONS                                                                             \
	{ "json", no_argument, NULL, 'j' }, { "wait", no_argument, NULL, 'w' },                    \
		{ "no-wait", no_argument, NULL, 'n' },                                             \
		{ "timeout", required_argument, NULL, 't' },                                       \
		{ "address", required_argument, NULL, 'a' },                                       \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}
