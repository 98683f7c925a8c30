/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The words between the doctor and its checks: what a check has found, and what the daemon's health
 * says. Texts come from the daemon and from other programs, so they are made harmless here, once.
 */

#include <stdarg.h>

#include "volumectl/doctor_checks.h"
#include "volumectl/terminal.h"

void finding_set(struct finding *finding, enum verdict verdict, const char *remedy,
		 const char *format, ...)
{
	_cleanup_buf_ struct buf clean = BUF_NULL;
	char text[ERR_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	err_text_vformat(text, sizeof(text), format, args);
	va_end(args);
	text_add_clean(&clean, text);
	finding->verdict = verdict;
	finding->text = buf_take(&clean);
	finding->remedy = xstrdup(remedy);
}

const char *doctor_word(const struct doctor *doctor, const char *name)
{
	return volume_client_text(volume_client_get(doctor->health, name));
}

static const struct volume_client_value *detail_of(const struct doctor *doctor, const char *name)
{
	return volume_client_get(volume_client_get(doctor->health, "details"), name);
}

const char *doctor_detail(const struct doctor *doctor, const char *name)
{
	return volume_client_text(detail_of(doctor, name));
}

int64_t doctor_figure(const struct doctor *doctor, const char *name)
{
	const struct volume_client_value *value = detail_of(doctor, name);

	if (value && value->kind == VOLUME_CLIENT_INTEGER)
		return value->integer;
	return value && value->kind == VOLUME_CLIENT_UNSIGNED ? (int64_t)value->natural : 0;
}

bool doctor_flag(const struct doctor *doctor, const char *name)
{
	const struct volume_client_value *value = detail_of(doctor, name);

	return value && value->kind == VOLUME_CLIENT_BOOL && value->boolean;
}
