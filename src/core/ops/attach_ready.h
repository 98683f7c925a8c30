/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The disk of an attachment is here and proven, while the attachment is still under way. */

#include <stdbool.h>

struct operation;

/* True: all clients know of the disk, or there is no proven disk. False: the step has ended, and
 * runs again when the fact is durable. */
bool op_attach_told_or_store(struct operation *operation);
/* The volume's disk has come, and clients have not been told of it yet. */
bool op_attach_has_news(struct operation *operation);
/* For the error of an attachment that fails: what becomes of a disk that was told as ready; half a
 * sentence, to be freed, or NULL. */
char *op_attach_ready_ends(const struct operation *operation);
