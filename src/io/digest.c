/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libcrypto computes the digest. A text of another length than a digest equals none. */

#include "io/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

bool digest_make(const void *bytes, size_t length, char out[DIGEST_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (EVP_Digest(bytes, length, digest, &size, EVP_sha256(), NULL) != 1 ||
	    size * 2 + 1 != DIGEST_TEXT_SIZE)
		return false;
	for (unsigned i = 0; i < size; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 0xf];
	}
	out[2 * size] = '\0';
	return true;
}

bool digest_equals(const char *a, const char *b)
{
	return strlen(a) == DIGEST_TEXT_SIZE - 1 && strlen(b) == DIGEST_TEXT_SIZE - 1 &&
	       CRYPTO_memcmp(a, b, DIGEST_TEXT_SIZE - 1) == 0;
}
