/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints the daemon's step tables, one step a line, as JSON: where the crash tests get their cases
 * from. */

#include <stdio.h>

#include "core/ops/ops.h"

static void print(const char *name, const struct operation_kind *kind)
{
	const struct step *step;

	for (size_t i = 0; (step = operation_kind_step(kind, i)); i++)
		printf("{\"operation\":\"%s\",\"step\":\"%s\",\"undo\":%s}\n", name, step->name,
		       step->undo ? "true" : "false");
}

int main(void)
{
	for (size_t i = 0; i < OPERATION_TYPE_COUNT; i++)
		print(operation_type_names[i], operation_kinds[i]);
	print("attach-root", &op_attach_root);
	return 0;
}
