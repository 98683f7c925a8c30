/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls on their way to CloudStack, and the health that their answers show. Private to cloud/. */

#include "cloud/cloud_call.h"
#include "cloud/cloud_figures.h"

/* NULL and err if its thread cannot be started. */
struct cloud_queue *cloud_queue_new(struct loop *loop, const struct cloud_options *options,
				    struct err *err);
/* Asserts that no call is left. Returns NULL, takes NULL. */
struct cloud_queue *cloud_queue_free(struct cloud_queue *queue);
/* Copies all three, for requests that are sent from now on. */
void cloud_queue_set_access(struct cloud_queue *queue, const char *url,
			    const struct secret *api_key, const struct secret *secret_key);
/* See cloud_set_pace(). */
void cloud_queue_set_pace(struct cloud_queue *queue, const struct cloud_options *options);
/*
 * Takes the call over and returns it. Its done runs once, on a later turn, unless
 * cloud_call_cancel() comes first.
 */
struct cloud_call *cloud_queue_add(struct cloud_call *call);
/* See cloud_options. */
const char *cloud_queue_project_id(const struct cloud_queue *queue);
/* See cloud_late_until_ms(). */
int64_t cloud_queue_late_until_ms(struct cloud_queue *queue, int64_t asked_ms);
void cloud_queue_health(const struct cloud_queue *queue, struct cloud_health *out);
const struct cloud_figures *cloud_queue_figures(const struct cloud_queue *queue);
bool cloud_queue_in_maintenance(const struct cloud_queue *queue);
