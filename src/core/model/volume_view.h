/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A volume for clients. */

#include "core/model/volume.h"

/* Fills an initialised record; the caller clears it. */
void volume_to_record(struct model *model, const struct volume *volume, struct volume_record *out);
