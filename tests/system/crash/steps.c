/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints the daemon's step tables, one step a line, as JSON: where the crash tests get their cases
 * from. */

#include <stdio.h>

#include "core/ops/ops.h"

int main(void)
{
	for (size_t i = 0; i < OPERATION_TYPE_COUNT; i++) {
		const struct operation_kind *kind = operation_kinds[i];
		const struct step *step;

		for (size_t j = 0; (step = operation_kind_step(kind, j)); j++)
			printf("{\"operation\":\"%s\",\"step\":\"%s\",\"undo\":%s}\n",
			       operation_type_names[kind->type], step->name,
			       step->undo ? "true" : "false");
	}
	return 0;
}
