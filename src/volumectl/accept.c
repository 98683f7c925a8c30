/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A daemon whose store is one from the past only reads until an administrator has accepted the
 * store. Accepting shows first what becomes of each unfinished operation, and asks on a terminal; a
 * script says --yes.
 */

#include "volumectl/accept.h"

#include <stdio.h>

#include "volumectl/output.h"
#include "volumectl/terminal.h"

static const char help[] =
	"Usage: volumectl store plan [--json]\n"
	"       volumectl store accept [--yes]\n"
	"\n"
	"plan shows whether the daemon's store is from the past or of another machine, and the outcome of\n"
	"each unfinished operation if the store is accepted. accept shows the same, asks, and lets the\n"
	"daemon go on with that store.\n"
	"\n"
	"  --yes              Accept without a question.\n"
	"  --json             Print compact JSON.\n"
	"  --address ADDRESS  Use this bus instead of the system's.\n";

/* 0, EXIT_USAGE, or OPTIONS_HELP if help was given. */
static int read_options(struct ctl *ctl, const char *command, int argc, char **argv,
			const char **own)
{
	int result = options_read_own(&ctl->options, command, argc, argv, own);

	if (result == OPTIONS_HELP)
		fputs(help, stdout);
	if (result == 0 && optind < argc)
		return ctl_usage("the argument '%s' is one too many; see 'volumectl %s --help'",
				 argv[optind], command);
	return result;
}

static const char *text_of(const struct volume_client_value *dict, const char *name)
{
	return volume_client_text(volume_client_get(dict, name));
}

static void print_operation(const struct volume_client_value *operation, FILE *out)
{
	const char *volume = text_of(operation, "volume_id"), *vm = text_of(operation, "vm_id");
	const char *step = text_of(operation, "step");

	fprintf(out, "%s: %s", text_of(operation, "id"), text_of(operation, "type"));
	if (!str_empty(volume))
		fprintf(out, ", volume %s", volume);
	if (!str_empty(vm))
		fprintf(out, ", VM %s", vm);
	fprintf(out, ", %s", text_of(operation, "status"));
	if (!str_empty(step))
		fprintf(out, " at step %s", step);
	fprintf(out, "\n  %s.\n", text_of(operation, "plan"));
}

static void print_plan(const struct volume_client_value *plan, FILE *out)
{
	const struct volume_client_value *operations =
		volume_client_get(volume_client_get(plan, "report"), "operations");
	bool past = streq(text_of(plan, "state"), "past");

	if (streq(text_of(plan, "state"), "current"))
		fputs("The store is current: nothing has to be accepted.\n", out);
	else
		fprintf(out, "%s.\n", text_of(plan, "reason"));
	if (past && (!operations || operations->count == 0))
		fputs("No operation is unfinished.\n", out);
	for (size_t i = 0; operations && i < operations->count; i++)
		print_operation(&operations->items[i], out);
}

int store_plan_main(struct ctl *ctl, int argc, char **argv)
{
	struct volume_client_value *plan = NULL;
	struct err err = { 0 };
	int result = read_options(ctl, "store plan", argc, argv, NULL);

	if (result)
		return result == OPTIONS_HELP ? 0 : result;
	if (ctl_call(ctl, METHOD_STORE_PLAN, -1, &plan, &err) < 0)
		return ctl_fail(&err);
	if (ctl->options.json)
		output_json(plan);
	else
		print_plan(plan, stdout);
	volume_client_value_free(plan);
	return 0;
}

static int accept_store(struct ctl *ctl)
{
	struct volume_client_value *answer = NULL;
	struct err err = { 0 };

	if (ctl_call(ctl, METHOD_STORE_ACCEPT, -1, &answer, &err) < 0)
		return ctl_fail(&err);
	if (ctl->options.json)
		output_json(answer);
	else
		puts(text_of(answer, "message"));
	volume_client_value_free(answer);
	return 0;
}

int store_accept_main(struct ctl *ctl, int argc, char **argv)
{
	struct volume_client_value *plan = NULL;
	struct err err = { 0 };
	const char *yes = NULL;
	bool past;
	int result = read_options(ctl, "store accept", argc, argv, &yes);

	if (result)
		return result == OPTIONS_HELP ? 0 : result;
	if (ctl_call(ctl, METHOD_STORE_PLAN, -1, &plan, &err) < 0)
		return ctl_fail(&err);
	print_plan(plan, ctl->options.json ? stderr : stdout);
	past = streq(text_of(plan, "state"), "past");
	volume_client_value_free(plan);
	fflush(stdout);
	if (past && !yes) {
		if (!isatty(STDIN_FILENO))
			return ctl_usage("accept asks on a terminal; in a script, give --yes");
		if (!terminal_ask("Accept this store and let the daemon go on?")) {
			fputs("Nothing was changed.\n", stderr);
			return EXIT_FAILURE;
		}
	}
	/* A store that needs no acceptance is the daemon's to refuse. */
	return accept_store(ctl);
}
