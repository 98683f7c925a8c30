/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* TLS for our own handshakes with the NBD server. Private to nbd/. */

#include "base/err.h"

struct ssl_ctx_st;

/* With the files in the folder. NULL and ERR_INVALID if the server or we cannot use them
 * (io/tls_identity.h). Blocks for reading some small files. */
struct ssl_ctx_st *tls_open(const char *tls_dir, struct err *err);
/* -1 and err if tls_open() would fail. Logs if the server's certificate has expired, or soon will.
 */
int tls_check(const char *tls_dir, struct err *err);
/* True if clients must show a certificate: the folder has one for us, too. */
bool tls_verifies_clients(const char *tls_dir);
/* -1 and a text with the remedy if clients refuse the server's certificate in the folder. Blocks
 * for reading one small file. */
int tls_check_server(struct ssl_ctx_st *tls, const char *tls_dir, struct err *err);
/* The fault of a certificate for which the NBD server is refused, to be freed; NULL: another fault.
 * verify_result is OpenSSL's. */
char *tls_fault_text(long verify_result);
void tls_close(struct ssl_ctx_st *tls);
