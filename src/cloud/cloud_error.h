/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sorts trouble with CloudStack into outcomes, and words the errors. Private to cloud/. */

#include "cloud/cloud.h"
#include "cloud/cloud_reply.h"

/* In CloudStack's own answers, HTTP status and errorcode are the same number. */
enum cloud_code {
	CLOUD_CODE_UNAUTHORIZED = 401,
	CLOUD_CODE_LIMIT = 429,
	CLOUD_CODE_PARAMETER = 431,
	CLOUD_CODE_UNSUPPORTED = 432, /* also: not for this role */
	CLOUD_CODE_MAINTENANCE = 503,
	CLOUD_CODE_INTERNAL = 530,
	CLOUD_CODE_ALLOCATION = 535,
};

/* An error answer. */
struct cloud_fault {
	int code;
	const char *text; /* CloudStack's words, NULL if none */
};

/* Sorts an error that CloudStack answered with, and writes err. */
enum cloud_outcome cloud_error_answer(const struct cloud_question *question,
				      const struct cloud_fault *fault, struct err *err);
/* The same for no answer at all: no connection, or an answer cut off, too late or too long. */
enum cloud_outcome cloud_error_silence(const struct cloud_question *question,
				       const struct http_response *response, struct err *err);
/*
 * The same for an answer that CloudStack did not write, or that can't be understood; why is a
 * phrase such as "it is empty".
 */
enum cloud_outcome cloud_error_nonsense(const struct cloud_question *question,
					const struct http_response *response, const char *why,
					struct err *err);
/* The same for a redirect, which is not followed. */
enum cloud_outcome cloud_error_redirect(const struct cloud_question *question,
					const struct http_response *response, struct err *err);
/* The four causes of a 401 (cloud_probe.h); words are CloudStack's. */
void cloud_error_late(const char *what, const char *words, struct err *err);
void cloud_error_unknown_command(const char *command, const char *what, const char *words,
				 struct err *err);
void cloud_error_clock(const char *words, struct err *err);
void cloud_error_keys(const char *words, struct err *err);
/* Writes err for a failed job; text is NULL if CloudStack does not know the reason. */
void cloud_error_job(int code, const char *text, struct err *err);

/* CloudStack's answer to the question for one command (listApis): there is no such command, or the
 * account may not use it. */
bool cloud_error_is_no_command(const struct err *err);
/*
 * True: CloudStack refused the request because its page is longer than an administrator allows.
 * limit is the allowed length, 0 if CloudStack does not say.
 */
bool cloud_error_page_size(const struct err *err, int64_t *limit);

/* The wait named in the text of a 429 ("[N] ms"), within bounds; a default if there is none. */
int64_t cloud_error_wait_ms(const char *text);

/* Copies CloudStack's words: as cloud_text_copy(), but words that are too long are marked as cut.
 */
void cloud_words_copy(char out[ERR_CLOUD_TEXT_SIZE], const char *text);
/*
 * Copies foreign text into size bytes, cut between characters. Control characters become spaces; if
 * the text is not UTF-8, its bytes beyond ASCII become '?'. NULL gives "".
 */
void cloud_text_copy(char *out, size_t size, const char *text);
