/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A secret lives in pages of its own that are left out of core dumps and wiped when freed. It is
 * opaque so that it cannot be printed by accident; code that signs with it asks for the bytes by
 * name.
 */

#include "base/err.h"

struct secret;

struct secret *secret_new(const char *bytes, size_t length);
enum secret_kind {
	SECRET_KEY,     /* has no blanks: those at its ends are removed, one within is refused */
	SECRET_PASSWORD /* may have blanks, but blanks at its ends are refused */
};
/*
 * The file's first line without its end, and without a byte order mark. Refuses empty files and
 * files that others may read.
 */
struct secret *secret_read(const char *path, enum secret_kind kind, struct err *err);
/* Makes text a key, as SECRET_KEY; place says where it stands. NULL and err if it is none. */
struct secret *secret_new_key(const char *text, const char *place, struct err *err);
/* The check of secret_read() for a file that another library reads: it is one of root or of the
 * daemon's user, and nobody else may use it. */
int secret_check_file(int fd, const char *path, struct err *err);
struct secret *secret_free(struct secret *secret);                  /* returns NULL, takes NULL */
bool secret_equals(const struct secret *a, const struct secret *b); /* NULL equals NULL */
const char *secret_bytes(const struct secret *secret);
size_t secret_length(const struct secret *secret);
