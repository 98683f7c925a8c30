/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256, for values that the daemon recognises and does not keep. */

#include "base/util.h"

#define DIGEST_TEXT_SIZE 65 /* 64 hex digits */

/* False: libcrypto cannot compute it. */
bool digest_make(const void *bytes, size_t length, char out[DIGEST_TEXT_SIZE]);
/* Takes the same time whatever the texts hold. */
bool digest_equals(const char *a, const char *b);
