/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kinds of objects that a call waits for, put into its wait slot. Each callback calls
 * call_waited() first. */

struct activation;
struct call;
struct cloud_call;
struct cloud_walk;
struct disk_opening;
struct err;
struct export_call;
struct operation;
struct operation_asker;
struct reconcile_ticket;
struct reload_ticket;
struct change;
struct settling;
struct snapshot;
struct store_accept;
struct store_read;
struct store_wait;
struct usage_check;
struct user_lookup;

void call_wait_cloud(struct call *call, struct cloud_call *cloud_call);
void call_wait_walk(struct call *call, struct cloud_walk *walk);
void call_wait_read(struct call *call, struct store_read *read);
void call_wait_opening(struct call *call, struct disk_opening *opening);
void call_wait_usage(struct call *call, struct usage_check *check);
void call_wait_activation(struct call *call, struct activation *activation);
void call_wait_exports(struct call *call, struct export_call *exports);
void call_wait_comparison(struct call *call, struct reconcile_ticket *ticket);
void call_wait_reload(struct call *call, struct reload_ticket *ticket);
void call_wait_store(struct call *call, struct store_wait *wait);
void call_wait_accept(struct call *call, struct store_accept *accept);
void call_wait_settling(struct call *call, struct settling *settling);
void call_wait_change(struct call *call, struct change *change);
void call_wait_snapshot(struct call *call, struct snapshot *snapshot);
void call_wait_user(struct call *call, struct user_lookup *lookup);
void call_wait_operation(struct call *call, struct operation_asker *asker);
/* The callback of that asker; arg: the call, which is answered with the operation, once durable. */
void call_on_accepted(void *arg, struct operation *operation, const struct err *err);
