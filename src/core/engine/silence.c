/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Since when a step has asked for nothing; see silence.h. */

#include "core/engine/silence.h"

#include "base/clock.h"
#include "core/engine/engine.h"
#include "core/engine/operation_table.h"
#include "core/env.h"

static struct silence *silence_of(const struct operation *operation)
{
	return operation->context;
}

int64_t silence_since_ms(const struct operation *operation)
{
	const struct silence *silence = silence_of(operation);

	if (str_empty(silence->boot_id) ||
	    !streq(silence->boot_id, operation->engine->env->boot_id))
		return 0;
	/* A moment that is still to come is of another clock. */
	return silence->since_ms <= clock_mono_ms() ? silence->since_ms : 0;
}

void silence_begin(struct operation *operation)
{
	struct silence *silence = silence_of(operation);

	silence->since_ms = clock_mono_ms();
	str_set(&silence->boot_id, operation->engine->env->boot_id);
}

bool silence_is_kept(const struct operation *operation)
{
	return silence_of(operation)->since_ms != 0;
}

void silence_end(struct operation *operation)
{
	struct silence *silence = silence_of(operation);

	silence->since_ms = 0;
	str_set(&silence->boot_id, NULL);
}
