/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting for an operation. */

#include "volumectl/ctl.h"

/* Until the operation has ended; prints its outcome and returns its exit code. */
int wait_operation(struct ctl *ctl, const char *operation_id);
/* The same after a request to cancel it: success means that it is undone. */
int wait_cancelled(struct ctl *ctl, const char *operation_id);
/*
 * Shows the progress until the operation has ended, and hands out its record, which the caller
 * frees. timeout_ms 0: no limit.
 */
int wait_end(struct ctl *ctl, const char *operation_id, int64_t timeout_ms,
	     struct volume_client_value **operation, struct err *err);
/* 0: the operation of this record completed; else its error. */
int wait_outcome(const struct volume_client_value *operation, struct err *err);
/* The same for the disk of an attachment, which often comes before the end. The signals must have
 * been subscribed to before the attachment was asked for. */
int wait_disk(struct ctl *ctl, const char *operation_id);
int wait_main(struct ctl *ctl, int argc, char **argv);
