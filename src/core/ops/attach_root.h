/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Attaching a volume as the root disk of another VM: a kind of operation beside op_attach, of the
 * same type. */

#include "spec/records.h"

/* For operation_kind. */
bool op_attach_root_is_asked(const struct operation_record *record);
