/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor's checks of what CloudStack lets the daemon's keys use: its commands, and the project.
 * CloudStack tells its rights when it is asked (the method ListRights); the health tells which of
 * the commands that were used have failed, whatever the rights are.
 */

#include <stdio.h>

#include "volumectl/doctor_checks.h"

static const char *text_of(const struct volume_client_value *item, const char *name)
{
	return volume_client_text(volume_client_get(item, name));
}

static bool is_true(const struct volume_client_value *item, const char *name)
{
	const struct volume_client_value *value = volume_client_get(item, name);

	return value && value->kind == VOLUME_CLIENT_BOOL && value->boolean;
}

static const struct volume_client_value *reads_of(const struct doctor *doctor)
{
	return volume_client_get(volume_client_get(doctor->health, "details"), "cloudstack_reads");
}

/* ---- commands ---- */

struct commands {
	size_t count;
	struct buf denied;        /* "attachVolume (attach the volume)" */
	struct buf denied_checks; /* those that only checks of changes need */
	struct buf failed;        /* "listVolumes: why" */
	const char *unknown;      /* why CloudStack did not tell of a command; NULL: it did */
};

static void add_word(struct buf *list, const char *name, const char *more)
{
	buf_printf(list, "%s%s (%s)", list->length ? ", " : "", name, more);
}

static void sort_right(struct commands *commands, const struct volume_client_value *right)
{
	const char *allowed = text_of(right, "allowed");

	if (!streq(text_of(right, "kind"), "command"))
		return;
	commands->count++;
	if (streq(allowed, "no"))
		add_word(is_true(right, "for_checks") ? &commands->denied_checks
						      : &commands->denied,
			 text_of(right, "name"), text_of(right, "needed_to"));
	else if (streq(allowed, "unknown") && !commands->unknown)
		commands->unknown = text_of(right, "text");
}

static void sort_read(struct commands *commands, const struct volume_client_value *read)
{
	const char *word = volume_client_text(read);

	if (!streq(word, "healthy") && !streq(word, "not asked yet"))
		buf_printf(&commands->failed, "%s%s: %s", commands->failed.length ? "; " : "",
			   read->key, word);
}

static void sort_all(const struct doctor *doctor, struct commands *commands)
{
	const struct volume_client_value *reads = reads_of(doctor);

	for (size_t i = 0; doctor->rights && i < doctor->rights->count; i++)
		sort_right(commands, &doctor->rights->items[i]);
	for (size_t i = 0; reads && reads->kind == VOLUME_CLIENT_DICT && i < reads->count; i++)
		sort_read(commands, &reads->items[i]);
}

#define GIVE_RIGHTS                                                                                \
	"let an administrator of CloudStack add these commands to the role of the user whose keys these are"

void check_commands(const struct doctor *doctor, struct finding *finding)
{
	struct commands commands = { 0 };

	sort_all(doctor, &commands);
	if (!doctor_hears_cloudstack(doctor))
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "CloudStack does not answer, or refuses all");
	else if (commands.denied.length)
		finding_set(finding, VERDICT_WARNING, GIVE_RIGHTS, "the keys may not use %s",
			    commands.denied.data);
	else if (commands.failed.length)
		finding_set(
			finding, VERDICT_WARNING,
			"if the rights are missing, give the role of the CloudStack user these commands; 'volumectl rights' shows all",
			"failed: %s", commands.failed.data);
	else if (!doctor->rights)
		finding_set(finding, VERDICT_UNKNOWN, NULL, "%s", doctor->no_rights.text);
	else if (commands.unknown)
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "CloudStack does not tell the rights of the keys: %s",
			    commands.unknown);
	else if (commands.denied_checks.length)
		finding_set(
			finding, VERDICT_OK, GIVE_RIGHTS,
			"the keys may use all that changes need; checks before a change lack %s",
			commands.denied_checks.data);
	else
		finding_set(finding, VERDICT_OK, NULL,
			    "the keys may use all %zu commands that the daemon needs",
			    commands.count);
	buf_clear(&commands.denied);
	buf_clear(&commands.denied_checks);
	buf_clear(&commands.failed);
}

/* ---- the project ---- */

static const struct volume_client_value *project_of(const struct doctor *doctor)
{
	for (size_t i = 0; doctor->rights && i < doctor->rights->count; i++) {
		if (streq(text_of(&doctor->rights->items[i], "kind"), "project"))
			return &doctor->rights->items[i];
	}
	return NULL;
}

/* The list of volumes, whose age tells that it was read. */
static void judge_list(const struct doctor *doctor, const struct volume_client_value *project,
		       struct finding *finding)
{
	const char *word = text_of(reads_of(doctor), "listVolumes");
	int64_t age = doctor_figure(doctor, "volume_list_age_seconds");
	int64_t count = doctor_figure(doctor, "known_volumes");

	if (age < 0 || !doctor_hears_cloudstack(doctor))
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "CloudStack cannot be asked for its volumes");
	else if (!streq(word, "healthy"))
		finding_set(
			finding, VERDICT_WRONG,
			"compare cloud.project_id with the projects that the CloudStack user may see",
			"the list of volumes is %lld s old: %s", (long long)age, word);
	else if (project)
		finding_set(finding, VERDICT_OK, NULL,
			    "CloudStack shows %lld volumes of project %s", (long long)count,
			    text_of(project, "name"));
	else
		finding_set(finding, VERDICT_OK, NULL,
			    "CloudStack shows %lld volumes with cloud.project_id",
			    (long long)count);
}

void check_volumes(const struct doctor *doctor, struct finding *finding)
{
	const struct volume_client_value *project = project_of(doctor);
	const char *left_out = doctor_detail(doctor, "volumes_left_out");
	const char *lost = doctor_detail(doctor, "volumes_lost");

	if (project && streq(text_of(project, "allowed"), "no"))
		finding_set(
			finding, VERDICT_WRONG,
			"set cloud.project_id to a project of the user whose keys these are, or let its owner add the user; then: volumectl reload",
			"project %s (cloud.project_id): %s", text_of(project, "name"),
			text_of(project, "text"));
	else if (*lost)
		finding_set(finding, VERDICT_WRONG, "ask CloudStack's administrator about them",
			    "CloudStack lost these volumes: %s", lost);
	else if (*left_out)
		finding_set(finding, VERDICT_WARNING, "ask CloudStack's administrator about them",
			    "volumes of CloudStack are left out: %s", left_out);
	else
		judge_list(doctor, project, finding);
}
