/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A volume for clients. */

#include "core/model/volume.h"

/* Texts of a volume's record that the model does not have. */
struct volume_texts {
	struct mapping_record mapping;
	char *linux_data;
	char *last_operation;
};
void volume_texts_clear(struct volume_texts *texts);

/*
 * All other texts of the record are the model's, and the record is never cleared: it is made for
 * one answer. texts is zeroed, and the caller clears it.
 */
void volume_show(struct model *model, const struct volume *volume, struct volume_texts *texts,
		 struct volume_record *out);
