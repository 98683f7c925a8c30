/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The plan of a change: what it would do, and what would refuse it. A method is asked for its plan
 * as it is asked for its change, and makes the same checks; where the change has its first effect,
 * it asks plan_ends() and is done.
 */

#include "base/util.h"

struct call;
struct err;

/* From now on the call only plans: its answer, whatever the method makes it, becomes the plan's. */
void plan_begin(struct call *call);
/*
 * Right before the first effect of a method that begins no operation; the text is what follows, in
 * a sentence. False: the call is a real one. True: it is answered with its plan.
 */
bool plan_ends(struct call *call, const char *format, ...) _printf_(2, 3);

/* Parts of the plan, in the order of the answer. */
void plan_would(struct call *call, const char *step, const char *text);
void plan_refuse(struct call *call, const char *check, const struct err *err);
void plan_doubt(struct call *call, const char *check, const char *why);
void plan_answer(struct call *call);

/* METHOD_PLAN_GET names a change: the call becomes a call of it that only plans. -1: there is no
 * such change, or its arguments are wrong. */
int plan_take_change(struct call *call, struct err *err);
