/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor: looks at everything that volume-daemon needs, part by part, and says for each part
 * whether it is well, what was found, and what to do.
 *
 * It changes nothing, and does not start a daemon that a person has stopped. The checks are rows of
 * one table. Those that need the daemon's answer are unknown without it: one cause gives one line
 * with a remedy, not fifteen.
 */

#include "volumectl/doctor.h"

#include <stdio.h>

#include "volumectl/doctor_checks.h"
#include "volumectl/terminal.h"

static const struct {
	const char *name;
	bool needs_health;
	check_fn look;
} checks[] = {
	{ "configuration", false, check_configuration },
	{ "bus", false, check_bus },
	{ "container", false, check_container },
	{ "daemon", false, check_daemon },
	{ "cloudstack", true, check_cloudstack },
	{ "keys", true, check_keys },
	{ "api-commands", true, check_commands },
	{ "clock", true, check_clock },
	{ "projects", true, check_volumes },
	{ "store", true, check_store },
	{ "disks", true, check_disks },
	{ "device-mapper", false, check_device_mapper },
	{ "nbd-engine", true, check_engine },
	{ "access", true, check_access },
	{ "certificate", true, check_certificate },
	{ "groups", false, check_groups },
	{ "pause", true, check_pause },
	{ "attention", true, check_attention },
	{ "differences", true, check_differences },
	{ "exports", true, check_exports_left },
};

static const struct {
	const char *word;
	enum style style;
} verdicts[VERDICT_COUNT] = {
	[VERDICT_OK] = { "ok", STYLE_GOOD },
	[VERDICT_UNKNOWN] = { "unknown", STYLE_PLAIN },
	[VERDICT_WARNING] = { "warning", STYLE_WARNING },
	[VERDICT_WRONG] = { "wrong", STYLE_BAD },
};

#define VERDICT_WIDTH 7
#define NAME_WIDTH 13

/* --- output --- */

static void print_text(const char *name, const struct finding *finding)
{
	const char *word = verdicts[finding->verdict].word;
	bool colours = terminal_has_colours(STDOUT_FILENO);

	printf("%s%-*s%s  %-*s  %s\n",
	       colours ? style_begins[verdicts[finding->verdict].style] : "", VERDICT_WIDTH, word,
	       colours ? STYLE_END : "", NAME_WIDTH, name, finding->text);
	if (finding->remedy)
		printf("%*s  to do: %s\n", VERDICT_WIDTH + 2 + NAME_WIDTH, "", finding->remedy);
	/* Some checks take their time: what is known is shown. */
	fflush(stdout);
}

static void put_json(struct json_writer *w, const char *name, const struct finding *finding)
{
	json_begin_object(w);
	json_put_member(w, "check", name);
	json_put_member(w, "verdict", verdicts[finding->verdict].word);
	json_put_member(w, "text", finding->text);
	json_put_member(w, "remedy", str_or(finding->remedy, ""));
	json_end_object(w);
}

/* --- the examination --- */

static void look(const struct doctor *doctor, size_t index, struct finding *finding)
{
	if (checks[index].needs_health && !doctor->health)
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "only the daemon knows, and it has not answered");
	else
		checks[index].look(doctor, finding);
}

static enum verdict examine(const struct doctor *doctor)
{
	bool json = doctor->ctl->options.json;
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };
	enum verdict worst = VERDICT_OK;

	json_begin_object(&w);
	json_put_name(&w, "checks");
	json_begin_array(&w);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct finding finding = { 0 };

		look(doctor, i, &finding);
		if (json)
			put_json(&w, checks[i].name, &finding);
		else
			print_text(checks[i].name, &finding);
		if (finding.verdict > worst)
			worst = finding.verdict;
		free(finding.text);
		free(finding.remedy);
	}
	json_end_array(&w);
	json_put_member(&w, "verdict", verdicts[worst].word);
	json_end_object(&w);
	if (json)
		puts(text.data);
	return worst;
}

static void ask_daemon(struct doctor *doctor)
{
	doctor->has_bus = ctl_connect(doctor->ctl, &doctor->no_health) == 0;
	doctor->runs = doctor->has_bus && ctl_daemon_runs(doctor->ctl);
	if (doctor->runs)
		ctl_call(doctor->ctl, METHOD_HEALTH_GET, -1, &doctor->health, &doctor->no_health);
	if (doctor_hears_cloudstack(doctor))
		ctl_call(doctor->ctl, METHOD_RIGHT_LIST, -1, &doctor->rights, &doctor->no_rights);
}

int doctor_main(struct ctl *ctl, int argc, char **argv)
{
	struct doctor doctor = { .ctl = ctl };
	enum verdict worst;
	int result = options_read_own(&ctl->options, argv[0], argc, argv, &doctor.config);

	if (result)
		return result;
	if (optind != argc)
		return ctl_usage("doctor takes no arguments");
	ask_daemon(&doctor);
	worst = examine(&doctor);
	volume_client_value_free(doctor.health);
	volume_client_value_free(doctor.rights);
	return worst == VERDICT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
