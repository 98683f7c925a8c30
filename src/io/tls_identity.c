/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A key is a secret like any other, so the same rules hold for its file. It is read through a
 * descriptor that was checked, and not by its path, which may lead to another file a moment later.
 */

#include "io/tls_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/secret.h"
#include "io/certificate.h"

#define DAY_MS INT64_C(86400000)
#define SOON_MS (14 * DAY_MS) /* before a certificate expires, or a quarter of its life */
#define KEY_MAX ((size_t)64 << 10)

/* ---- the files ---- */

int tls_cannot_use(const char *path, struct err *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, ERR_INVALID, "%s cannot be used for TLS: %s", path,
		str_or(reason, "it cannot be read"));
	ERR_clear_error();
	return -1;
}

int tls_identity_look(const char *path, struct stat *out, struct err *err)
{
	if (stat(path, out) < 0)
		return err_set(err, ERR_INVALID, "%s cannot be used for TLS: %s", path,
			       strerror(errno));
	if (!S_ISREG(out->st_mode))
		return err_set(err, ERR_INVALID, "%s cannot be used for TLS: it is no regular file",
			       path);
	return 0;
}

/* OpenSSL would ask for one on the terminal. */
static int no_password(char *buffer, int size, int is_writing, void *arg)
{
	return -1;
}

/* -1: it cannot be read, or is longer than any key. */
static int read_whole(int fd, char *out, size_t size, size_t *length)
{
	ssize_t got;

	*length = 0;
	while (*length < size && (got = read(fd, out + *length, size - *length)) > 0)
		*length += (size_t)got;
	return *length < size && got == 0 ? 0 : -1;
}

static EVP_PKEY *parse_key(const char *text, size_t length)
{
	BIO *bio = BIO_new_mem_buf(text, (int)length);
	EVP_PKEY *key;

	if (!bio)
		abort(); /* out of memory */
	key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	return key;
}

static EVP_PKEY *read_key(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	EVP_PKEY *key = NULL;
	char text[KEY_MAX];
	size_t length;

	if (fd < 0) {
		err_set(err, ERR_INVALID, "%s cannot be used for TLS: %s", path, strerror(errno));
		return NULL;
	}
	if (secret_check_file(fd, path, err) < 0)
		return NULL;
	if (read_whole(fd, text, sizeof(text), &length) == 0)
		key = parse_key(text, length);
	explicit_bzero(text, sizeof(text));
	if (!key)
		tls_cannot_use(path, err);
	return key;
}

static int check_length(const EVP_PKEY *key, const char *path, struct err *err)
{
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || bits <= TLS_RSA_BITS_MAX)
		return 0;
	return err_set(
		err, ERR_INVALID,
		"the RSA key in %s has %d bits, and a handshake with it would take too long; "
		"use a key of at most %d bits, or of an elliptic curve",
		path, bits, TLS_RSA_BITS_MAX);
}

static int use_key(SSL_CTX *context, const char *cert, const char *path, struct err *err)
{
	/* Before the key: that of another kind has a place of its own, where no certificate is. */
	const X509 *owner = SSL_CTX_get0_certificate(context);
	EVP_PKEY *key = read_key(path, err);
	int r = key ? check_length(key, path, err) : -1;

	if (r == 0 &&
	    (X509_check_private_key(owner, key) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1))
		r = err_set(err, ERR_INVALID, "the key in %s does not belong to %s", path, cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}

int tls_identity_read(SSL_CTX *context, const char *cert, const char *key, struct err *err)
{
	struct stat st;

	ERR_clear_error();
	if (tls_identity_look(cert, &st, err) < 0 || tls_identity_look(key, &st, err) < 0)
		return -1;
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
		return tls_cannot_use(cert, err);
	return use_key(context, cert, key, err);
}

/* ---- its life ---- */

static int64_t time_of(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static char *is_of_no_use(const char *path, enum certificate_fault fault)
{
	_cleanup_free_ char *words =
		certificate_fault_text(fault, &(struct certificate_place){ 0 });

	return xasprintf("%s is of no use to clients: %s", path, words);
}

char *tls_identity_fault(const SSL_CTX *context, const char *path)
{
	const X509 *cert = SSL_CTX_get0_certificate(context);
	int64_t begins_ms = time_of(X509_get0_notBefore(cert));
	int64_t expires_ms = time_of(X509_get0_notAfter(cert));
	int64_t now_ms = clock_wall_ms(), left_ms = expires_ms - now_ms;
	char date[TIME_TEXT_SIZE];

	if (now_ms < begins_ms)
		return is_of_no_use(path, CERTIFICATE_NOT_YET_VALID);
	if (left_ms <= 0)
		return is_of_no_use(path, CERTIFICATE_EXPIRED);
	if (left_ms > SOON_MS || left_ms > (expires_ms - begins_ms) / 4)
		return NULL;
	time_format(expires_ms, date);
	return xasprintf("%s expires at %s: renew it", path, date);
}
