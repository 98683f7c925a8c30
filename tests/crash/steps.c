/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints the daemon's step tables, one step a line, as JSON: where the crash tests get their cases from. */

#include <stdio.h>

#include "core/ops/ops.h"

int main(void)
{
	for (size_t i = 0; i < OPERATION_TYPE_COUNT; i++) {
		const struct operation_kind *kind = operation_kinds[i];

		for (size_t j = 0; j < kind->step_count; j++)
			printf("{\"operation\":\"%s\",\"step\":\"%s\",\"undo\":%s}\n", operation_type_names[kind->type],
			       kind->steps[j].name, kind->steps[j].undo ? "true" : "false");
	}
	return 0;
}
