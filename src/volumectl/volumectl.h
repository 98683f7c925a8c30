/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of volumectl share. */

#include <volume-client.h>

#include "base/buf.h"
#include "base/json.h"
#include "spec/methods.h"

#define EXIT_USAGE 2

struct options {
	const char *address; /* of the bus, NULL the system's */
	bool json;
	bool no_wait;
	int64_t timeout_ms; /* of waiting, 0 none */
};

struct ctl {
	struct options options;
	struct volume_client *client;
};

/* main.c: "volumectl: <text>" on stderr. The first returns the exit code of err. */
int ctl_fail(const struct err *err);
int ctl_usage(const char *format, ...) _printf_(1, 2); /* returns EXIT_USAGE */
/* Connects if not connected yet. */
int ctl_connect(struct ctl *ctl, struct err *err);
/* What the library says as an error of ours, in words that say what to do. Returns -1. */
int ctl_client_error(const struct volume_client_error *error, struct err *err);

/* command.c */
const struct method *command_find(const char *name);
/* argv[0] is the command's name. Returns the exit code. */
int command_run(struct ctl *ctl, const struct method *method, int argc, char **argv);
/* An option every command knows. 1: taken, 0: not one of these, -1: it is wrong (told already). */
int command_common_option(struct options *options, int code, const char *value);
#define COMMON_OPTIONS                                                                                                 \
	{ "json", no_argument, NULL, 'j' }, { "wait", no_argument, NULL, 'w' }, { "no-wait", no_argument, NULL, 'n' }, \
		{ "timeout", required_argument, NULL, 't' }, { "address", required_argument, NULL, 'a' },              \
	{                                                                                                              \
		"help", no_argument, NULL, 'h'                                                                         \
	}

/* Option name of a field: its own, or the field's name with dashes. */
void command_option_name(const struct field *field, char out[64]);
bool command_is_positional(const struct method *method, const struct field *field);
bool command_is_option(const struct method *method, const struct field *field);

/* help.c */
void help_all(void);
void help_command(const struct method *method);
int help_unknown(const char *name); /* with the nearest command; returns EXIT_USAGE */
int help_main(int argc, char **argv);

/* wait.c: until an operation has ended; prints its outcome and returns its exit code. */
int wait_operation(struct ctl *ctl, const char *operation_id);
int wait_main(struct ctl *ctl, int argc, char **argv);

/* store.c: becomes the program that works on stores while the daemon is stopped. Returns only when it cannot. */
int store_main(char **argv);

/* watch.c */
int watch_main(struct ctl *ctl, int argc, char **argv);

/* output.c */
void output_json_value(const struct volume_client_value *value, struct json_writer *w);
void output_json(const struct volume_client_value *value); /* one line on stdout */
/* One record as "name  value" lines, or as JSON. record orders and types what it knows. */
void output_record(const struct record *record, const struct volume_client_value *dict, bool json);
/* A list of records as a table, or as JSON. */
void output_records(const struct record *record, const struct volume_client_value *list, bool json);
void output_size(uint64_t bytes, struct buf *out); /* 5GiB, 1.5GiB, 512MiB; exact bytes below 1 KiB */
/* A dict of properties (VolumeId) turned in place into one of fields (volume_id), without optional ones that are empty. */
void output_properties_to_fields(const struct record *record, struct volume_client_value *properties);
