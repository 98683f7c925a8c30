/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The signature by which CloudStack knows its user.
 *
 * The server does not check the bytes that travelled. It decodes all parameters, sorts them by
 * their names as sent (so upper case comes before lower case), encodes each value anew with Java's
 * URLEncoder, joins everything with '&', lower-cases the whole and computes HMAC-SHA1 over it. A
 * client that builds the same string may encode the request itself in any way. Names are not
 * encoded in the signed string, though they are on the wire.
 *
 * Java's encoder leaves A-Z a-z 0-9 . - * _ alone. That is not RFC 3986: '*' stays and '~' becomes
 * %7E, which is why curl's own escaping can't be used.
 *
 * The API key is one of the parameters, and every reader of the result can repeat the request. So
 * these buffers are wiped after use, and get all their memory in one piece before the first byte,
 * since growing would leave copies behind.
 */

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <strings.h>

#include "cloud/cloud_sign.h"

#define SIGNATURE_NAME "signature"
#define SHA1_SIZE 20

static void reserve(struct buf *buf, size_t length)
{
	size_t room = buf->length + length + 1;

	if (buf->room >= room)
		return;
	buf->data = xrealloc(buf->data, room + 1);
	buf->data[buf->length] = '\0';
	buf->room = room;
}

/* The size of the parameters if every byte becomes %XX. */
static size_t size_bound(const struct cloud_param *params, size_t count)
{
	size_t bound = 0;

	for (size_t i = 0; i < count; i++)
		bound += 3 * (strlen(params[i].name) + strlen(params[i].value)) + 2;
	return bound + sizeof(SIGNATURE_NAME) + 3 * (size_t)CLOUD_SIGNATURE_SIZE;
}

static bool is_literal(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '*' || c == '_';
}

static void add_encoded(struct buf *out, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (is_literal(c)) {
			buf_add_char(out, *text);
			continue;
		}
		buf_add_char(out, '%');
		buf_add_char(out, digits[c >> 4]);
		buf_add_char(out, digits[c & 15]);
	}
}

static int compare_names(const void *a, const void *b)
{
	const struct cloud_param *left = a, *right = b;

	return strcmp(left->name, right->name);
}

void cloud_sign_canonical(struct cloud_param *params, size_t count, struct buf *out)
{
	size_t start = out->length;
	const char *separator = "";

	assert(params && count);

	reserve(out, size_bound(params, count));
	qsort(params, count, sizeof(*params), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(params[i].name, SIGNATURE_NAME) == 0)
			continue;
		buf_add_text(out, separator);
		buf_add_text(out, params[i].name);
		buf_add_char(out, '=');
		add_encoded(out, params[i].value);
		separator = "&";
	}
	/*
	 * Not tolower(), which depends on the locale. Every byte beyond ASCII is %XX by now, or
	 * part of a name.
	 */
	for (size_t i = start; i < out->length; i++)
		if (out->data[i] >= 'A' && out->data[i] <= 'Z')
			out->data[i] = (char)(out->data[i] - 'A' + 'a');
}

void cloud_sign(struct cloud_param *params, size_t count, const struct secret *key,
		char out[CLOUD_SIGNATURE_SIZE])
{
	struct buf text = BUF_NULL;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_length = 0;

	assert(key && secret_length(key) > 0);

	cloud_sign_canonical(params, count, &text);
	if (!HMAC(EVP_sha1(), secret_bytes(key), (int)secret_length(key),
		  (const unsigned char *)text.data, text.length, digest, &digest_length) ||
	    digest_length != SHA1_SIZE)
		/* only without memory, or if libcrypto has no SHA-1: no request can be made */
		abort();
	EVP_EncodeBlock((unsigned char *)out, digest, SHA1_SIZE);

	explicit_bzero(digest, sizeof(digest));
	if (text.data)
		explicit_bzero(text.data, text.length);
	buf_clear(&text);
}

void cloud_sign_query(struct cloud_param *params, size_t count, const struct secret *key,
		      struct buf *out)
{
	char signature[CLOUD_SIGNATURE_SIZE];

	assert(params && count);

	cloud_sign(params, count, key, signature);
	reserve(out, size_bound(params, count));
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(params[i].name, SIGNATURE_NAME) == 0)
			continue;
		add_encoded(out, params[i].name);
		buf_add_char(out, '=');
		add_encoded(out, params[i].value);
		buf_add_char(out, '&');
	}
	buf_add_text(out, SIGNATURE_NAME "=");
	add_encoded(out, signature);
	explicit_bzero(signature, sizeof(signature));
}
