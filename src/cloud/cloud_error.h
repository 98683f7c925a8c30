/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What trouble with CloudStack means, and how it is told. Private to cloud/. */

#include "cloud/cloud.h"
#include "cloud/cloud_reply.h"

/* HTTP status and errorcode are one number in CloudStack's own answers. */
enum cloud_code {
	CLOUD_CODE_UNAUTHORIZED = 401,
	CLOUD_CODE_LIMIT = 429,
	CLOUD_CODE_PARAMETER = 431,
	CLOUD_CODE_UNSUPPORTED = 432, /* also: not for this role */
	CLOUD_CODE_MAINTENANCE = 503,
	CLOUD_CODE_INTERNAL = 530,
};

/* An error answer. */
struct cloud_fault {
	int code;
	const char *text; /* CloudStack's words, NULL when it gave none */
	bool has_skew;
	int64_t skew_ms;       /* its clock minus ours */
	int64_t correction_ms; /* what of that the request allowed for */
};

/* CloudStack answered with an error: sorts it and writes err. */
enum cloud_outcome cloud_error_answer(const struct cloud_question *question,
				      const struct cloud_fault *fault, struct err *err);
/* No answer at all: no connection, cut, too late, too long. */
enum cloud_outcome cloud_error_silence(const struct cloud_question *question,
				       const struct http_response *response, struct err *err);
/* An answer that CloudStack did not write, or that can't be understood; why is a phrase such as "it
 * is empty". */
enum cloud_outcome cloud_error_nonsense(const struct cloud_question *question,
					const struct http_response *response, const char *why,
					struct err *err);
/* A job has failed; text is NULL when CloudStack does not know why. */
void cloud_error_job(int code, const char *text, struct err *err);

/* "[N] ms" in the text of a 429, within bounds; a default when it is not there. */
int64_t cloud_error_wait_ms(const char *text);

/* Foreign text into size bytes: control characters become spaces, what is not UTF-8 becomes '?',
 * cut between characters. NULL gives "". */
void cloud_text_copy(char *out, size_t size, const char *text);
