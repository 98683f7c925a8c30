/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The findings about the use of a disk, and their words.
 *
 * The report decides whether a disk is pulled away from under a program. So users are only added,
 * never removed, and an error says that the users cannot be found, which is not the same as no
 * users.
 */

#include "disk/usage_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void usage_report_init(struct usage_report *report, const struct usage_options *options,
		       const char *name, const struct usage_ignore *ignore)
{
	*report = (struct usage_report){
		.proc_root = xstrdup(options->proc_root),
		.sysfs_root = xstrdup(options->sysfs_root),
		.dev_root = xstrdup(options->dev_root),
		.name = xstrdup(name),
		.map_uuid = xstrdup(ignore->map_uuid),
		.pid = ignore->pid,
		.openers = ignore->openers,
	};
}

void usage_report_clear(struct usage_report *report)
{
	free(report->proc_root);
	free(report->sysfs_root);
	free(report->dev_root);
	free(report->name);
	free(report->map_uuid);
	for (size_t i = 0; i < USAGE_USERS_SHOWN; i++) {
		free(report->named[i].path);
		free(report->named[i].what);
	}
	free(report->nodes);
	buf_clear(&report->what);
	buf_clear(&report->left_out);
}

void usage_report_users(const struct usage_report *report, struct usage_result *result)
{
	size_t count = report->users < USAGE_USERS_SHOWN ? report->users : USAGE_USERS_SHOWN;

	result->what = str_or(report->what.data, "");
	result->users = report->named;
	result->user_count = count;
	result->users_more = report->users - count;
}

int usage_cannot_read(struct usage_report *report, const char *path)
{
	return err_set(&report->err, ERR_UNAVAILABLE, "the users of %s cannot be found: %s: %s",
		       report->name, path, strerror(errno));
}

bool usage_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int usage_too_many(struct usage_report *report, const char *what)
{
	return err_set(&report->err, ERR_TOO_MANY, "the users of %s cannot be found: %s",
		       report->name, what);
}

/* The words stand without the device's name, which has a member of its own. */
static void name_user(struct usage_report *report, const struct usage_node *node,
		      enum usage_kind kind, const char *text)
{
	char label[USAGE_NODE_LABEL_SIZE];

	usage_label(report, node, label);
	if (str_has_prefix(text, label))
		text += strlen(label);
	report->named[report->users - 1] = (struct usage_user){ .path = xstrdup(node->path),
								.what = xstrdup(text),
								.kind = kind };
}

void usage_add(struct usage_report *report, const struct usage_node *node, enum usage_kind kind,
	       const char *format, ...)
{
	char text[ERR_TEXT_SIZE];
	va_list args;

	if (kind > report->kind)
		report->kind = kind;
	report->beside = report->beside || !node->by_map;
	if (report->users++ >= USAGE_USERS_SHOWN)
		return;
	va_start(args, format);
	err_text_vformat(text, sizeof(text), format, args);
	va_end(args);
	if (report->users > 1)
		buf_add_text(&report->what, ", ");
	buf_add_text(&report->what, text);
	name_user(report, node, kind, text);
}

void usage_label(const struct usage_report *report, const struct usage_node *node,
		 char out[USAGE_NODE_LABEL_SIZE])
{
	const char *name = node->map_name[0] ? node->map_name : node->name;

	snprintf(out, USAGE_NODE_LABEL_SIZE, "%s%s", node == report->nodes ? "" : name,
		 node == report->nodes ? "" : " ");
}

bool usage_is_path_of(const struct usage_node *node, const char *path)
{
	static const char mapper[] = "/dev/mapper/";

	return streq(path, node->path) || (node->map_name[0] && str_has_prefix(path, mapper) &&
					   streq(path + strlen(mapper), node->map_name));
}
