/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The checks of "volumectl doctor". Private to doctor*.c. */

#include "volumectl/ctl.h"

/* In the order of their weight. */
enum verdict {
	VERDICT_OK,
	VERDICT_UNKNOWN, /* it could not be checked; another check names the cause */
	VERDICT_WARNING, /* it works, or cannot be judged by this user */
	VERDICT_WRONG,
	VERDICT_COUNT
};

struct finding {
	enum verdict verdict;
	char *text;   /* what was found */
	char *remedy; /* what to do; NULL: nothing */
};

struct doctor {
	struct ctl *ctl;
	const char *config; /* the file to check; NULL: the usual one */
	bool has_bus;
	bool runs; /* the daemon owns its name on the bus */
	/* The daemon's answer about its health; NULL: it does not run, or no_health says why. */
	struct volume_client_value *health;
	struct err no_health;
	/* What CloudStack lets the daemon's keys use; NULL: it was not asked, or no_rights says
	 * why.
	 */
	struct volume_client_value *rights;
	struct err no_rights;
};

typedef void (*check_fn)(const struct doctor *doctor, struct finding *finding);

/* Each fills a finding once; remedy may be NULL. */
void finding_set(struct finding *finding, enum verdict verdict, const char *remedy,
		 const char *format, ...) _printf_(4, 5);
/* A text of the health; "" if an older daemon does not tell it. */
const char *doctor_word(const struct doctor *doctor, const char *name);
const char *doctor_detail(const struct doctor *doctor, const char *name);
/* A figure or a truth value of the details; 0 and false if there is none. */
int64_t doctor_figure(const struct doctor *doctor, const char *name);
bool doctor_flag(const struct doctor *doctor, const char *name);

/* False: CloudStack answers nothing, or the daemon does not tell. */
bool doctor_hears_cloudstack(const struct doctor *doctor);

/* --- what this machine tells: doctor_machine.c --- */
void check_configuration(const struct doctor *doctor, struct finding *finding);
void check_bus(const struct doctor *doctor, struct finding *finding);
void check_daemon(const struct doctor *doctor, struct finding *finding);
void check_device_mapper(const struct doctor *doctor, struct finding *finding);
void check_groups(const struct doctor *doctor, struct finding *finding);

/* --- whether a container gives what the daemon needs of the host: doctor_container.c --- */
void check_container(const struct doctor *doctor, struct finding *finding);

/* --- what the daemon's health tells: doctor_health.c --- */
void check_cloudstack(const struct doctor *doctor, struct finding *finding);
void check_keys(const struct doctor *doctor, struct finding *finding);
void check_clock(const struct doctor *doctor, struct finding *finding);
void check_store(const struct doctor *doctor, struct finding *finding);
void check_disks(const struct doctor *doctor, struct finding *finding);
void check_engine(const struct doctor *doctor, struct finding *finding);
void check_access(const struct doctor *doctor, struct finding *finding);
void check_certificate(const struct doctor *doctor, struct finding *finding);
void check_pause(const struct doctor *doctor, struct finding *finding);

/* --- what CloudStack lets the keys use: doctor_rights.c --- */
void check_commands(const struct doctor *doctor, struct finding *finding);
void check_volumes(const struct doctor *doctor, struct finding *finding);

/* --- what the daemon tells when it is asked: doctor_leftovers.c --- */
void check_attention(const struct doctor *doctor, struct finding *finding);
void check_differences(const struct doctor *doctor, struct finding *finding);
void check_exports_left(const struct doctor *doctor, struct finding *finding);
