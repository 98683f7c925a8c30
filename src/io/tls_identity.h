/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A certificate and its key, in two files of PEM, as the daemon or a program that it starts shows
 * them. */

#include "base/err.h"

struct ssl_ctx_st;
struct stat;

/*
 * Reads both into the context. -1 and ERR_INVALID, with the remedy, if a file is missing or no
 * regular file, if others may read the key or a password protects it, if the key belongs to another
 * certificate, or if it is an RSA key of more than TLS_RSA_BITS_MAX. An expired certificate is read
 * (tls_identity_fault()). Blocks for reading two small files.
 */
int tls_identity_read(struct ssl_ctx_st *context, const char *cert, const char *key,
		      struct err *err);
/* What tls_identity_read() asks of each file before it reads it. -1 and ERR_INVALID: there is no
 * file at the path, or one that may hang its reader. */
int tls_identity_look(const char *path, struct stat *out, struct err *err);
/* The time of a handshake with a longer key is felt by other clients: 4,096 bits take 5 ms. */
#define TLS_RSA_BITS_MAX 4096

/* Words for people, to be freed, if the certificate is not valid now, or soon will not be: it
 * expires within two weeks and the last quarter of its life. NULL: it is well. path: of the
 * certificate. */
char *tls_identity_fault(const struct ssl_ctx_st *context, const char *path);

/* -1 and ERR_INVALID: the file cannot be used, for the reason that OpenSSL has noted. */
int tls_cannot_use(const char *path, struct err *err);
