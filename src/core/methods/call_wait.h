/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kinds of objects that a call waits for, put into its wait slot. Each callback calls
 * call_waited() first. */

struct activation;
struct call;
struct cloud_call;
struct export_call;
struct change;
struct store_read;
struct usage_check;

void call_wait_cloud(struct call *call, struct cloud_call *cloud_call);
void call_wait_read(struct call *call, struct store_read *read);
void call_wait_usage(struct call *call, struct usage_check *check);
void call_wait_activation(struct call *call, struct activation *activation);
void call_wait_exports(struct call *call, struct export_call *exports);
void call_wait_change(struct call *call, struct change *change);
