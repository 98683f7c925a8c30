/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether a call may change something at this moment. Private to core/methods/. */

#include "base/err.h"

struct call;

/*
 * -1 and err if changes are paused, if the store is one from the past, or, of a call that begins an
 * operation, if no operation can begin now or its caller has too many. To be asked again after each
 * wait: any of them may have changed meanwhile.
 */
int admission_check(const struct call *call, struct err *err);
/* Tells each of these reasons that holds now, and not only the first; check names it for clients.
 */
typedef void (*admission_fn)(void *arg, const char *check, const struct err *err);
void admission_each(const struct call *call, admission_fn refused, void *arg);
/* The call must not be admitted before the store has been checked. */
bool admission_awaits_store(const struct call *call);
