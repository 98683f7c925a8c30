/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events, a line for each, until interrupted: the daemon's signals, and its coming and going.
 * Changed properties are shown as name=value. With --json each line is an object of signal, path
 * and arguments.
 */

#include "volumectl/watch.h"

#include <stdio.h>

#include "volumectl/output.h"

static void print_json(const char *member, const char *path,
		       const struct volume_client_value *arguments)
{
	_cleanup_buf_ struct buf line = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &line };

	json_begin_object(&w);
	json_put_name(&w, "signal");
	json_put_text(&w, member);
	if (path) {
		json_put_name(&w, "path");
		json_put_text(&w, path);
	}
	if (arguments) {
		json_put_name(&w, "arguments");
		output_json_value(arguments, &w);
	}
	json_end_object(&w);
	puts(line.data);
}

static void print_clean(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

/* The state of an object, in the few words that fit a line. */
static void print_properties(const char *path, const struct volume_client_value *changed)
{
	static const char *const shown[] = { "Status", "Step", "Error",
					     "State",  "VmId", "DevicePath" };
	_cleanup_free_ char *id = volume_client_path_id(path);

	printf("Changed %s", str_or(id, path));
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		const char *text = volume_client_text(volume_client_get(changed, shown[i]));

		if (!*text)
			continue;
		printf(" %s=", shown[i]);
		print_clean(text);
	}
	putchar('\n');
}

static void print_signal(const char *member, const char *path,
			 const struct volume_client_value *arguments)
{
	if (streq(member, "PropertiesChanged") && arguments->count >= 2) {
		print_properties(path, &arguments->items[1]);
		return;
	}
	fputs(member, stdout);
	for (size_t i = 0; arguments && i < arguments->count; i++) {
		const char *text = volume_client_text(&arguments->items[i]);

		/* The object's path says no more than the id beside it. */
		if (!*text ||
		    (text[0] == '/' && str_has_prefix(text, BUS_ROOT) && arguments->count > 2))
			continue;
		putchar(' ');
		print_clean(text);
	}
	putchar('\n');
}

static int on_signal(void *arg, const char *member, const char *path,
		     const struct volume_client_value *arguments)
{
	const struct options *options = arg;

	if (options->json)
		print_json(member, path, arguments);
	else
		print_signal(member, path, arguments);
	/* A program may read the output line by line; end when it stops reading. */
	return fflush(stdout) == 0 ? 0 : 1;
}

int watch_main(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct volume_client_error error;
	struct err err = { 0 };
	int result = options_read(&ctl->options, argv[0], options, argc, argv, NULL, NULL);

	if (result)
		return result;
	if (optind != argc)
		return ctl_usage("watch takes no arguments");
	if (ctl_connect(ctl, &err) < 0)
		return ctl_fail(&err);
	if (volume_client_watch(ctl->client, on_signal, &ctl->options, &error) < 0) {
		ctl_client_error(&error, &err);
		return ctl_fail(&err);
	}
	return 0;
}
