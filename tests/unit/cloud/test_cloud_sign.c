/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The vectors come from other implementations, one of them in the server's own language. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "cloud/cloud_sign.h"
#include "wiping.h"

#define KEY_PARAM "vmd-Test_ApiKey-0123456789"
#define SECRET "vmd-Test_Secret-9876543210"
#define VECTOR_PARAMS 10

struct vector {
	const char *label;
	struct cloud_param params[VECTOR_PARAMS]; /* in no useful order; ended by a NULL name */
	const char *canonical;
	const char *signature;
	const char *wire; /* a part of the query */
};

static const struct vector vectors[] = {
	{
		.label = "plain",
		.params = { { "response", "json" },
			    { "command", "listVolumes" },
			    { "listall", "true" },
			    { "apikey", KEY_PARAM } },
		.canonical =
			"apikey=vmd-test_apikey-0123456789&command=listvolumes&listall=true&response=json",
		.signature = "w2fQz8jZDck9zhiCiqpxJvZuoKM=",
		.wire = "&signature=w2fQz8jZDck9zhiCiqpxJvZuoKM%3D",
	},
	{
		.label = "every kind of character",
		.params = { { "command", "createVolume" },
			    { "response", "json" },
			    { "name", "db data+log *~ (\xc3\xa9)/v1" },
			    { "zoneid", "1128bd56-b4d9-4ac6-a7b9-c715b187ce11" },
			    { "diskofferingid", "7662b6ae-f00b-4268-973f-f3f87eaf82c5" },
			    { "size", "20" },
			    { "signatureversion", "3" },
			    { "expires", "2030-01-02T03:04:05+0000" },
			    { "customjobid", "3f2504e0-4f89-41d3-9a0c-0305e82c3301" },
			    { "apikey", KEY_PARAM } },
		.canonical =
			"apikey=vmd-test_apikey-0123456789&command=createvolume"
			"&customjobid=3f2504e0-4f89-41d3-9a0c-0305e82c3301"
			"&diskofferingid=7662b6ae-f00b-4268-973f-f3f87eaf82c5"
			"&expires=2030-01-02t03%3a04%3a05%2b0000&name=db%20data%2blog%20*%7e%20%28%c3%a9%29%2fv1"
			"&response=json&signatureversion=3&size=20&zoneid=1128bd56-b4d9-4ac6-a7b9-c715b187ce11",
		.signature = "PW33jiQtwFF10TeHN0PWX1ujEhw=",
		.wire = "&name=db%20data%2Blog%20*%7E%20%28%C3%A9%29%2Fv1&",
	},
	{
		.label = "names in mixed case",
		.params = { { "command", "createTags" },
			    { "response", "json" },
			    { "resourceids", "a0e403db-0342-45f1-b9e0-8ff94cc1652f" },
			    { "resourcetype", "Volume" },
			    { "tags[0].value", "VMD@host:1" },
			    { "tags[0].key", "Owner" },
			    { "signatureVersion", "3" },
			    { "expires", "2030-01-02T03:04:05Z" },
			    { "apiKey", KEY_PARAM } },
		.canonical =
			"apikey=vmd-test_apikey-0123456789&command=createtags&expires=2030-01-02t03%3a04%3a05z"
			"&resourceids=a0e403db-0342-45f1-b9e0-8ff94cc1652f&resourcetype=volume&response=json"
			"&signatureversion=3&tags[0].key=owner&tags[0].value=vmd%40host%3a1",
		.signature = "rKuLiRJJt7vLKqiUTlRAaJOj7Wo=",
		.wire = "&tags%5B0%5D.value=VMD%40host%3A1&",
	},
	{
		.label = "names are sorted before they are lower-cased",
		.params = { { "aa", "2" },
			    { "command", "listVolumes" },
			    { "aB", "1" },
			    { "response", "json" } },
		.canonical = "ab=1&aa=2&command=listvolumes&response=json",
		.signature = "KP0IMjObw8D5wUChPoYTp3EQk7s=",
		.wire = "aB=1&aa=2&",
	},
	{
		.label = "an empty value",
		.params = { { "response", "json" },
			    { "name", "" },
			    { "command", "listVolumes" },
			    { "apikey", KEY_PARAM } },
		.canonical =
			"apikey=vmd-test_apikey-0123456789&command=listvolumes&name=&response=json",
		.signature = "4mmJxRfLojKoPpD9HEz2VtSCUXQ=",
		.wire = "&name=&",
	},
	{
		.label = "a signature is never part of what is signed",
		.params = { { "Signature", "old" },
			    { "response", "json" },
			    { "command", "listVolumes" },
			    { "listall", "true" },
			    { "apikey", KEY_PARAM } },
		.canonical =
			"apikey=vmd-test_apikey-0123456789&command=listvolumes&listall=true&response=json",
		.signature = "w2fQz8jZDck9zhiCiqpxJvZuoKM=",
		.wire = "apikey=vmd-Test_ApiKey-0123456789&command=listVolumes&listall=true&response=json&signature=",
	},
};

/* A fresh copy each time, since signing sorts its parameters. */
static size_t copy_params(const struct vector *vector, struct cloud_param *out)
{
	size_t count = 0;

	while (count < VECTOR_PARAMS && vector->params[count].name) {
		out[count] = vector->params[count];
		count++;
	}
	return count;
}

static void test_vectors(void **state)
{
	struct secret *secret = secret_new(SECRET, strlen(SECRET));

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		struct cloud_param params[VECTOR_PARAMS];
		_cleanup_buf_ struct buf canonical = BUF_NULL, query = BUF_NULL;
		char signature[CLOUD_SIGNATURE_SIZE];
		size_t count;

		print_message("  %s\n", vector->label);
		count = copy_params(vector, params);
		cloud_sign_canonical(params, count, &canonical);
		assert_string_equal(canonical.data, vector->canonical);

		count = copy_params(vector, params);
		cloud_sign(params, count, secret, signature);
		assert_string_equal(signature, vector->signature);

		count = copy_params(vector, params);
		cloud_sign_query(params, count, secret, &query);
		assert_non_null(strstr(query.data, vector->wire));
	}
	secret_free(secret);
}

/* The signature's own + / = must be encoded on the wire; this one has all three kinds over many
 * tries. */
static void test_signature_is_encoded_on_the_wire(void **state)
{
	struct secret *secret = secret_new(SECRET, strlen(SECRET));
	bool plus = false, slash = false;

	for (int i = 0; i < 64; i++) {
		_cleanup_buf_ struct buf query = BUF_NULL;
		_cleanup_free_ char *number = xasprintf("%d", i);
		struct cloud_param params[] = { { "command", number } };
		const char *signature;

		cloud_sign_query(params, ARRAY_SIZE(params), secret, &query);
		signature = strstr(query.data, "signature=") + strlen("signature=");
		assert_null(strpbrk(signature, "+/="));
		plus = plus || strstr(signature, "%2B");
		slash = slash || strstr(signature, "%2F");
	}
	assert_true(plus && slash);
	secret_free(secret);
}

/* All memory at once: a buffer that grows leaves copies of the keys behind. */
static void test_buffer_never_moves(void **state)
{
	struct secret *secret = secret_new(SECRET, strlen(SECRET));
	_cleanup_free_ char *value = xmalloc(5001);
	struct cloud_param params[] = { { "command", "x" }, { "name", value } };
	_cleanup_buf_ struct buf query = BUF_NULL;

	memset(value, '~', 5000);
	value[5000] = '\0';
	cloud_sign_query(params, ARRAY_SIZE(params), secret, &query);
	assert_true(query.length > 15000);
	/* A doubling buffer would end with room for a power of two. */
	assert_true(query.room < 16000);
	secret_free(secret);
}

/* Who finds what was signed, or its digest, can send the request again. */
static void test_nothing_stays_behind(void **state)
{
	const struct vector *vector = &vectors[0];
	const char *const secrets[] = { vector->canonical, vector->signature, NULL };
	struct secret *secret = secret_new(SECRET, strlen(SECRET));
	struct cloud_param params[VECTOR_PARAMS];
	_cleanup_buf_ struct buf query = BUF_NULL;
	unsigned char digest[21];
	size_t count = copy_params(vector, params);

	assert_int_equal(EVP_DecodeBlock(digest, (const unsigned char *)vector->signature,
					 (int)strlen(vector->signature)),
			 sizeof(digest)); /* the last byte is padding */
	wiping_watch(secrets);
	cloud_sign_query(params, count, secret, &query);
	assert_null(wiping_missed());
	assert_true(wiping_saw(vector->canonical, strlen(vector->canonical)));
	assert_true(wiping_saw(vector->signature, strlen(vector->signature)));
	assert_true(wiping_saw(digest, sizeof(digest) - 1));
	secret_free(secret);
	assert_true(wiping_saw(SECRET, strlen(SECRET)));
	wiping_watch(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_signature_is_encoded_on_the_wire),
		cmocka_unit_test(test_buffer_never_moves),
		cmocka_unit_test(test_nothing_stays_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
