/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of cloud_reply.c for the answers that only plans need. Private to cloud/. Each returns
 * NULL if all is well, else a phrase that says why the answer is wrong. */

#include "base/json.h"
#include "cloud/cloud_reply.h"

/* The number of objects in this array of the answer. */
const char *cloud_reply_read_number(struct cloud_reply *reply, const struct json *payload,
				    const char *array);
/* Accounts or projects, which have the same members. */
const char *cloud_reply_read_limits(struct cloud_reply *reply, const struct json *payload,
				    const char *array);
const char *cloud_reply_read_disk_limit(struct cloud_reply *reply, const struct json *payload);
