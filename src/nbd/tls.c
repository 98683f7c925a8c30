/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * TLS for our own handshakes, with the same folder the engines read. The server must show a
 * certificate of its CA. The name in the certificate is not compared: we connect to an address we
 * were told to listen on, and clients know the server by names that we don't.
 */

#include "nbd/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "io/certificate.h"
#include "io/tls_identity.h"

#define CLIENT_CERT "client-cert.pem"

bool tls_verifies_clients(const char *tls_dir)
{
	_cleanup_free_ char *cert = xasprintf("%s/" CLIENT_CERT, tls_dir);

	return access(cert, F_OK) == 0;
}

static SSL_CTX *server_new(void)
{
	SSL_CTX *server = SSL_CTX_new(TLS_server_method());

	if (!server)
		abort(); /* out of memory */
	return server;
}

/* These are the engine's files, but it would complain later and less clearly, and it does not mind
 * who may read the key. */
static int read_server(const char *tls_dir, char **fault, struct err *err)
{
	_cleanup_free_ char *cert = xasprintf("%s/server-cert.pem", tls_dir);
	_cleanup_free_ char *key = xasprintf("%s/server-key.pem", tls_dir);
	SSL_CTX *server = server_new();
	int r = tls_identity_read(server, cert, key, err);

	if (r == 0 && fault)
		*fault = tls_identity_fault(server, cert);
	SSL_CTX_free(server);
	return r;
}

static int load(SSL_CTX *tls, const char *tls_dir, struct err *err)
{
	_cleanup_free_ char *ca = xasprintf("%s/ca-cert.pem", tls_dir);
	_cleanup_free_ char *cert = xasprintf("%s/" CLIENT_CERT, tls_dir);
	_cleanup_free_ char *key = xasprintf("%s/client-key.pem", tls_dir);

	if (SSL_CTX_load_verify_locations(tls, ca, NULL) != 1)
		return tls_cannot_use(ca, err);
	if (read_server(tls_dir, NULL, err) < 0)
		return -1;
	return tls_verifies_clients(tls_dir) ? tls_identity_read(tls, cert, key, err) : 0;
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

int tls_check(const char *tls_dir, struct err *err)
{
	SSL_CTX *tls = tls_open(tls_dir, err);
	_cleanup_free_ char *fault = NULL;
	int r = tls ? read_server(tls_dir, &fault, err) : -1;

	if (fault)
		log_warning("export: %s", fault);
	tls_close(tls);
	return r;
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
	SSL_CTX *server = server_new();
	int r = 0;

	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(server, path) != 1)
		r = tls_cannot_use(path, err);
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
