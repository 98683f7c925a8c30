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
bool doctor_hears_cloudstack(const struct doctor *doctor)
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
	else if (doctor_hears_cloudstack(doctor))
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
	else if (doctor_hears_cloudstack(doctor) || is_time_refused(doctor))
		finding_set(finding, VERDICT_OK, NULL, "CloudStack accepts the keys");
	else
		finding_set(finding, VERDICT_UNKNOWN, NULL, "CloudStack does not answer");
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
			    "this machine is VM %s; disks here: %lld; volumes attached, here or to "
			    "other VMs: %lld",
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
