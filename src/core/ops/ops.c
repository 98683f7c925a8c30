/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operations by type. A new operation is added to this list. */

#include "core/ops/ops.h"

const struct operation_kind *const operation_kinds[OPERATION_TYPE_COUNT] = {
	[OPERATION_CREATE] = &op_create,
	[OPERATION_ATTACH] = &op_attach,
	[OPERATION_DETACH] = &op_detach,
	[OPERATION_DELETE] = &op_delete,
	[OPERATION_RESIZE] = &op_resize,
	[OPERATION_CLEANUP] = &op_cleanup,
	[OPERATION_SNAPSHOT] = &op_snapshot,
	[OPERATION_REVERT] = &op_revert,
	[OPERATION_DELETE_SNAPSHOT] = &op_delete_snapshot,
};
