/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CloudStack's request signature: HMAC-SHA1 over a canonical form of the parameters, base64. */

#include "base/buf.h"
#include "base/secret.h"

struct cloud_param {
	const char *name;  /* any case; sent as given */
	const char *value; /* raw bytes, not encoded */
};

/* The canonical string: sorted by raw name, values encoded, lower-case. Sorts params in place. */
void cloud_sign_canonical(struct cloud_param *params, size_t count, struct buf *out);
/* 28 characters of base64 and a zero. */
#define CLOUD_SIGNATURE_SIZE 29
void cloud_sign(struct cloud_param *params, size_t count, const struct secret *key,
		char out[CLOUD_SIGNATURE_SIZE]);
/* "name=value&…&signature=…" as sent on the wire. The buffer holds secrets: wipe it after use. */
void cloud_sign_query(struct cloud_param *params, size_t count, const struct secret *key,
		      struct buf *out);
