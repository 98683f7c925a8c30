/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor's checks that read the daemon's health. The daemon's words name the cause, and often
 * the remedy; these checks add what a person types. A cause is told by one check: while the keys
 * are refused, or CloudStack is away, what depends on that is unknown.
 */

#include <stdio.h>

#include "volumectl/doctor_checks.h"

static bool is_healthy(const char *word)
{
	return streq(word, "healthy");
}

/* --- CloudStack --- */

static const struct volume_client_value *reads_of(const struct doctor *doctor)
{
	return volume_client_get(volume_client_get(doctor->health, "details"), "cloudstack_reads");
}

/* The code by which CloudStack refuses keys and signatures; the daemon's words hold it. */
static bool are_keys_refused(const struct doctor *doctor)
{
	return strstr(doctor_word(doctor, "cloudstack_health"), "did not accept our signature");
}

static bool is_time_refused(const struct doctor *doctor)
{
	return strstr(doctor_word(doctor, "cloudstack_health"), "requests that expire");
}

/*
 * False: what depends on CloudStack cannot be judged, and another check tells why. CloudStack may
 * answer and yet not be well: then the daemon takes changes, or it is paused and its words say so.
 */
static bool does_cloudstack_answer(const struct doctor *doctor)
{
	const char *word = doctor_word(doctor, "cloudstack_health");

	return is_healthy(word) || doctor_flag(doctor, "accepting_changes") ||
	       doctor_flag(doctor, "cloudstack_throttled") ||
	       str_has_prefix(word, "CloudStack answers") ||
	       str_has_prefix(word, "CloudStack lost");
}

static bool is_configured(const struct doctor *doctor)
{
	return !streq(doctor_word(doctor, "cloudstack_health"), "not configured");
}

void check_cloudstack(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_word(doctor, "cloudstack_health");

	if (is_healthy(word))
		finding_set(finding, VERDICT_OK, NULL,
			    "CloudStack answers; it was asked %lld times",
			    (long long)doctor_figure(doctor, "cloudstack_api_calls"));
	else if (!is_configured(doctor))
		finding_set(
			finding, VERDICT_WRONG,
			"set cloud.url, cloud.api_key_file and cloud.secret_key_file, then: systemctl restart volume-daemon",
			"no CloudStack is configured");
	else if (are_keys_refused(doctor) || is_time_refused(doctor))
		finding_set(finding, VERDICT_OK, NULL,
			    "CloudStack answers, but refuses requests; see keys and clock");
	else if (does_cloudstack_answer(doctor))
		finding_set(
			finding, VERDICT_WARNING,
			"see what the daemon asked for: journalctl -u volume-daemon; it tries again by itself",
			"%s", word);
	else
		finding_set(
			finding, VERDICT_WRONG,
			"compare cloud.url with CloudStack's address, and see whether the management server runs; the daemon tries again by itself",
			"%s", word);
}

void check_keys(const struct doctor *doctor, struct finding *finding)
{
	if (are_keys_refused(doctor))
		finding_set(
			finding, VERDICT_WRONG,
			"put the keys of the CloudStack user into the files cloud.api_key_file and cloud.secret_key_file, then: volumectl reload",
			"%s", doctor_word(doctor, "cloudstack_health"));
	else if (does_cloudstack_answer(doctor) || is_time_refused(doctor))
		finding_set(finding, VERDICT_OK, NULL, "CloudStack accepts the keys");
	else
		finding_set(finding, VERDICT_UNKNOWN, NULL, "CloudStack does not answer");
}

/* Only commands that read are told: whether one that changes may be used shows when it is used. */
void check_commands(const struct doctor *doctor, struct finding *finding)
{
	const struct volume_client_value *reads = reads_of(doctor);
	_cleanup_buf_ struct buf used = BUF_NULL, refused = BUF_NULL;

	for (size_t i = 0; reads && reads->kind == VOLUME_CLIENT_DICT && i < reads->count; i++) {
		const struct volume_client_value *read = &reads->items[i];
		const char *word = volume_client_text(read);

		if (is_healthy(word))
			buf_printf(&used, "%s%s", used.length ? ", " : "", read->key);
		else if (!streq(word, "not asked yet"))
			buf_printf(&refused, "%s%s: %s", refused.length ? "; " : "", read->key,
				   word);
	}
	if (!does_cloudstack_answer(doctor))
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "CloudStack does not answer, or refuses all");
	else if (refused.length)
		finding_set(
			finding, VERDICT_WARNING,
			"if the rights are missing, give the role of the CloudStack user these commands",
			"failed: %s", refused.data);
	else if (used.length)
		finding_set(finding, VERDICT_OK, NULL, "answered: %s", used.data);
	else
		finding_set(finding, VERDICT_UNKNOWN, NULL, "no command was used yet");
}

void check_clock(const struct doctor *doctor, struct finding *finding)
{
	static const char remedy[] =
		"set the clock and have it kept right (timedatectl set-ntp true), here and on CloudStack's management servers";
	const char *word = doctor_detail(doctor, "clock");

	if (is_time_refused(doctor))
		finding_set(finding, VERDICT_WRONG, remedy, "%s",
			    doctor_word(doctor, "cloudstack_health"));
	else if (!is_healthy(word))
		finding_set(finding, VERDICT_WARNING, remedy, "%s", word);
	else
		finding_set(finding, VERDICT_OK, NULL, "CloudStack's clock differs by %lld ms",
			    (long long)doctor_figure(doctor, "cloudstack_clock_ahead_ms"));
}

/* A project that is wrong, or that the user may not see, makes the list of volumes fail. */
void check_volumes(const struct doctor *doctor, struct finding *finding)
{
	const char *word = volume_client_text(volume_client_get(reads_of(doctor), "listVolumes"));
	const char *left_out = doctor_detail(doctor, "volumes_left_out");
	const char *lost = doctor_detail(doctor, "volumes_lost");
	int64_t age = doctor_figure(doctor, "volume_list_age_seconds");

	if (*lost)
		finding_set(finding, VERDICT_WRONG, "ask CloudStack's administrator about them",
			    "CloudStack lost these volumes: %s", lost);
	else if (*left_out)
		finding_set(finding, VERDICT_WARNING, "ask CloudStack's administrator about them",
			    "volumes of CloudStack are left out: %s", left_out);
	else if (age < 0 || !does_cloudstack_answer(doctor))
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "CloudStack cannot be asked for its volumes");
	else if (!is_healthy(word))
		finding_set(
			finding, VERDICT_WRONG,
			"compare cloud.project_id with the projects that the CloudStack user may see",
			"the list of volumes is %lld s old: %s", (long long)age, word);
	else
		finding_set(finding, VERDICT_OK, NULL,
			    "CloudStack shows %lld volumes with cloud.project_id",
			    (long long)doctor_figure(doctor, "known_volumes"));
}

/* --- this machine --- */

void check_store(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_word(doctor, "database_health");
	const char *state = doctor_detail(doctor, "store_state");

	if (!streq(state, "current"))
		finding_set(finding, VERDICT_WRONG,
			    "look with 'volumectl store plan', then 'volumectl store accept'", "%s",
			    word);
	else if (!is_healthy(word))
		finding_set(
			finding, VERDICT_WRONG,
			"see whether the database runs and the disk has room; the daemon tries again by itself",
			"%s", word);
	else
		finding_set(finding, VERDICT_OK, NULL, "the store takes changes");
}

void check_disks(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_word(doctor, "device_monitor");

	if (!is_healthy(word))
		finding_set(
			finding, VERDICT_WRONG,
			"follow the text; a disk that shows an old size is read anew by: echo 1 > /sys/block/DISK/device/rescan",
			"%s", word);
	else
		finding_set(finding, VERDICT_OK, NULL,
			    "this machine is VM %s; disks: %lld, volumes among them: %lld",
			    doctor_detail(doctor, "appliance_id"),
			    (long long)doctor_figure(doctor, "device_count"),
			    (long long)doctor_figure(doctor, "active_mappings"));
}

void check_engine(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_word(doctor, "nbd_health");

	if (streq(word, "turned off"))
		finding_set(finding, VERDICT_OK, NULL, "exports are turned off (export.engine)");
	else if (!is_healthy(word))
		finding_set(
			finding, VERDICT_WRONG,
			"see whether the engine of export.engine is installed (apt install qemu-system-common or nbdkit) and export.listen is free",
			"%s", word);
	else
		finding_set(finding, VERDICT_OK, NULL, "%s serves %lld exports",
			    doctor_detail(doctor, "nbd_engine"),
			    (long long)doctor_figure(doctor, "exports"));
}

/* --- people --- */

void check_access(const struct doctor *doctor, struct finding *finding)
{
	const char *rest = doctor_detail(doctor, "rest_access");
	const char *nbd = doctor_detail(doctor, "nbd_access");
	bool is_open = streq(rest, "every local user") || streq(nbd, "every local user");

	/* The default, so that it is no fault; but who does not want it learns the way. */
	finding_set(
		finding, VERDICT_OK,
		is_open ? "if that is too many, see SECURITY.md: volume-daemon-closed.conf limits both to root and a group"
			: NULL,
		"REST may be used by %s, NBD by %s", *rest ? rest : "nobody",
		*nbd ? nbd : "nobody");
}

void check_certificate(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_detail(doctor, "rest_certificate");

	if (!*word)
		finding_set(finding, VERDICT_OK, NULL, "REST uses none");
	else if (is_healthy(word))
		finding_set(finding, VERDICT_OK, NULL, "the certificate of REST is valid");
	else
		finding_set(finding, VERDICT_WARNING,
			    "renew the files in http.tls_dir; no restart is needed", "%s", word);
}

void check_pause(const struct doctor *doctor, struct finding *finding)
{
	const char *reason = doctor_detail(doctor, "paused");

	if (*reason)
		finding_set(finding, VERDICT_WARNING, "let them go on with: volumectl resume",
			    "changes are paused: %s", reason);
	else
		finding_set(finding, VERDICT_OK, NULL, "changes are not paused");
}
