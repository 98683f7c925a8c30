/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * TLS for our own handshakes, with the same folder the engines read. The server must show a
 * certificate of its CA. The name in the certificate is not compared: we connect to an address we
 * were told to listen on, and clients know the server by names that we don't.
 */

#include "nbd/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "io/certificate.h"

#define CLIENT_CERT "client-cert.pem"

static int fail(const char *path, struct err *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, ERR_INVALID, "%s cannot be used for TLS: %s", path,
		str_or(reason, "it cannot be read"));
	ERR_clear_error();
	return -1;
}

bool tls_verifies_clients(const char *tls_dir)
{
	_cleanup_free_ char *cert = xasprintf("%s/" CLIENT_CERT, tls_dir);

	return access(cert, F_OK) == 0;
}

static int load(SSL_CTX *tls, const char *tls_dir, struct err *err)
{
	_cleanup_free_ char *ca = xasprintf("%s/ca-cert.pem", tls_dir);
	_cleanup_free_ char *server = xasprintf("%s/server-cert.pem", tls_dir);
	_cleanup_free_ char *server_key = xasprintf("%s/server-key.pem", tls_dir);
	_cleanup_free_ char *cert = xasprintf("%s/" CLIENT_CERT, tls_dir);
	_cleanup_free_ char *key = xasprintf("%s/client-key.pem", tls_dir);

	if (SSL_CTX_load_verify_locations(tls, ca, NULL) != 1)
		return fail(ca, err);
	/*
	 * The engine's file; checked here, because the engine would complain later and less
	 * clearly.
	 */
	if (access(server, R_OK) < 0)
		return fail(server, err);
	if (access(server_key, R_OK) < 0)
		return fail(server_key, err);
	if (!tls_verifies_clients(tls_dir))
		return 0;
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
		return fail(cert, err);
	if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		return fail(key, err);
	return 0;
}

SSL_CTX *tls_open(const char *tls_dir, struct err *err)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls)
		abort();
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	if (load(tls, tls_dir, err) == 0)
		return tls;
	tls_close(tls);
	return NULL;
}

char *tls_fault_text(long verify_result)
{
	const struct certificate_place place = { .authorities = "ca-cert.pem of export.tls_dir" };

	return certificate_fault_text(certificate_fault_of(verify_result), &place);
}

/* The result of a client with our authorities. */
static int verify(SSL_CTX *tls, SSL_CTX *server)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	int result;

	SSL_CTX_get0_chain_certs(server, &chain);
	if (!check || X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(tls),
					  SSL_CTX_get0_certificate(server), chain) != 1)
		abort();
	result = X509_verify_cert(check) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(check);
	X509_STORE_CTX_free(check);
	return result;
}

int tls_check_server(SSL_CTX *tls, const char *tls_dir, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/server-cert.pem", tls_dir), *fault = NULL;
	SSL_CTX *server = SSL_CTX_new(TLS_server_method());
	int r = 0;

	if (!server)
		abort();
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(server, path) != 1)
		r = fail(path, err);
	else
		fault = tls_fault_text(verify(tls, server));
	if (fault)
		r = err_set(err, ERR_UNAVAILABLE, "%s is of no use to clients: %s", path, fault);
	SSL_CTX_free(server);
	ERR_clear_error();
	return r;
}

void tls_close(SSL_CTX *tls)
{
	SSL_CTX_free(tls);
}
