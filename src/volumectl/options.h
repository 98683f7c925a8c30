/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How commands look on the command line, for the parser and for the help texts. */

#include <getopt.h>

#include "spec/methods.h"

struct options {
	const char *address; /* of the bus, NULL: the system's */
	const char *columns; /* of a table, "name,size"; NULL: the usual ones */
	bool json;
	bool no_wait;
	bool until_device;  /* of an attachment: its disk, and not its end, is waited for */
	int64_t timeout_ms; /* of waiting, 0 none */
};

const struct method *options_find_method(const char *name);
/* "token" and "create" name the command token-create. */
const struct method *options_find_pair(const char *first,
				       const char *second); /* NULL: no row has this command */
/* Option name of a field: its own, or the field's name with dashes. */
void options_name_field(const struct field *field, char out[64]);
/* The same in capitals, as help names an argument that has its place. */
void options_name_positional(const struct field *field, char out[64]);
bool options_is_positional(const struct method *method, const struct field *field);
bool options_is_option(const struct method *method, const struct field *field);
/* The words that a field takes, ended by NULL; NULL: it takes any text. */
const char *const *options_words(const struct record *args, const struct field *field);

/* An option of every command. 1: taken, 0: not a common option, -1: wrong, and reported already. */
int options_take_common(struct options *options, int code, const char *value);

/* An option of a command that is no argument of a method: volumectl itself does what it says. */
struct own_option {
	const char *command; /* "detach", "store backup" */
	const char *name;
	const char *value; /* the word for its value in help; NULL: it has none */
	const char *doc;
};
#define OWN_OPTION_COUNT 9
extern const struct own_option own_options[OWN_OPTION_COUNT];
/* The next one of the command, from index on; OWN_OPTION_COUNT: there is none. */
size_t options_next_own(const char *command, size_t index);

#define OPTIONS_HELP (-1)
/* An option that the command alone has. 0, or EXIT_USAGE if it is wrong, and reported already. */
typedef int (*option_fn)(void *arg, int code, const char *value);
/*
 * Reads the options of a command; optind is then the first other word. table holds COMMON_OPTIONS
 * and the command's own, whose codes begin at OPTION_CODE_OWN; name is the command as "volumectl
 * help" knows it. 0, EXIT_USAGE (reported already), or OPTIONS_HELP: the user wants to see the
 * help.
 */
int options_read(struct options *options, const char *name, const struct option *table, int argc,
		 char **argv, option_fn take, void *arg);
/*
 * The same for a command without a method, which has one own option at most. *own becomes the
 * option's value, "" if it has none, and stays as it is if the option is not given.
 */
int options_read_own(struct options *options, const char *command, int argc, char **argv,
		     const char **own);
/* clang-format off */
#define OPTION_CODE_OWN 256 /* the first code of a command's own options */
#define COMMON_OPTIONS                               \
	{ "json", no_argument, NULL, 'j' },          \
	{ "columns", required_argument, NULL, 'c' }, \
	{ "wait", optional_argument, NULL, 'w' },    \
	{ "no-wait", no_argument, NULL, 'n' },       \
	{ "timeout", required_argument, NULL, 't' }, \
	{ "address", required_argument, NULL, 'a' }, \
	{ "help", no_argument, NULL, 'h' }
/* clang-format on */
