/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The option --dry-run of the commands that change something. */

#include "volumectl/request.h"

/* Asks for the plan of a change and shows it; the client is connected. The exit code is that of the
 * first refusal, 0 if nothing refuses the change. */
int plan_show(struct ctl *ctl, const struct request *request);

/* The plan, to be freed with volume_client_value_free(); the client is connected. */
int plan_ask(struct ctl *ctl, const struct request *request, struct volume_client_value **plan,
	     struct err *err);
void plan_print(const struct volume_client_value *plan);
/* As that of plan_show(). */
int plan_exit_code(const struct volume_client_value *plan);
