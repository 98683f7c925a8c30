/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading errors.
 *
 * The one question is: can the command have happened? A command that never left this machine did
 * not happen. Nor did a command that CloudStack answers with an error in its own envelope, since a
 * command either becomes a job or is refused. Any other 5xx answer, and any unreadable answer, was
 * written by something between CloudStack and us, or by a CloudStack that is failing, and proves
 * nothing. A proxy answers 4xx before it passes a request on, except for 408 and 499, which some
 * proxies use if an answer takes too long. Commands that only read have nothing to lose: for them
 * every doubt is CLOUD_AWAY.
 *
 * CloudStack's numbers are broad. 431 means anything from a wrong UUID to "not in this state", so
 * some meanings are only in the text, and this file alone reads them there.
 */

#include <assert.h>
#include <stdio.h>

#include "cloud/cloud_error.h"

#define WAIT_DEFAULT_MS 1000 /* the server's default window */
#define WAIT_MAX_MS 60000
#define SKEW_NOTICE_MS 60000
#define TYPE_TEXT_SIZE 64

void cloud_text_copy(char *out, size_t size, const char *text)
{
	size_t length;

	assert(out && size > 0);

	text = str_or(text, "");
	length = strnlen(text, size);
	if (length == size) {
		length--;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	for (size_t i = 0; i < length; i++)
		out[i] = (char)((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
	out[length] = '\0';
	if (str_is_plain_text(out))
		return;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)out[i] >= 0x80)
			out[i] = '?';
}

int64_t cloud_error_wait_ms(const char *text)
{
	const char *open = text ? strchr(text, '[') : NULL;
	char number[20];
	size_t length;
	int64_t wait;

	if (!open)
		return WAIT_DEFAULT_MS;
	length = strcspn(open + 1, "]");
	if (length == 0 || length >= sizeof(number))
		return WAIT_DEFAULT_MS;
	memcpy(number, open + 1, length);
	number[length] = '\0';
	if (parse_i64(number, &wait) < 0 || wait < 0)
		return WAIT_DEFAULT_MS;
	return wait > WAIT_MAX_MS ? WAIT_MAX_MS : wait;
}

/*
 * "… Invalid parameter id value=U due to … or entity does not exist …": the object of the command
 * was never there. The same text about another parameter (a VM, a zone) does not prove that.
 */
static bool says_unknown_id(const char *text)
{
	static const char phrase[] = "nvalid parameter ";
	const char *name = strstr(text, phrase);

	if (!name || !strstr(text, "entity does not exist"))
		return false;
	name += sizeof(phrase) - 1;
	return str_has_prefix(name, "id ") || str_has_prefix(name, "jobid ");
}

static bool says_gone(int code, const char *text)
{
	return code == CLOUD_CODE_PARAMETER && text &&
	       (says_unknown_id(text) || str_has_prefix(text, "Unable to find volume with ID"));
}

static void remember(struct err *err, int code, const char *text)
{
	err->cloud_code = code;
	cloud_text_copy(err->cloud_text, sizeof(err->cloud_text), text);
}

/* "35 min behind CloudStack's" */
static void describe_skew(int64_t skew_ms, char *out, size_t size)
{
	int64_t seconds = (skew_ms < 0 ? -skew_ms : skew_ms) / 1000;
	bool minutes = seconds >= 600;

	snprintf(out, size, "%lld %s %s CloudStack's",
		 (long long)(minutes ? seconds / 60 : seconds), minutes ? "min" : "s",
		 skew_ms > 0 ? "behind" : "ahead of");
}

/*
 * CloudStack has one text for a wrong key, a wrong secret, a clock that is off, a disabled account
 * and a command the server doesn't know. So the error names them all, and rules on the clock, the
 * only cause that can be measured.
 */
static void explain_unauthorized(const struct cloud_fault *fault, const char *words,
				 struct err *err)
{
	static const char others[] =
		"the API key or the secret key is wrong, or the user or account is disabled or may "
		"not use keys, or not from this address";
	int64_t left = fault->skew_ms - fault->correction_ms;
	char skew[64];

	describe_skew(fault->skew_ms, skew, sizeof(skew));
	if (!fault->has_skew)
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack did not accept our signature (code 401) and does not say why. "
			"Either %s, or this machine's clock is wrong by more than 10 minutes. "
			"Nothing was done. Compare both keys with the user's in CloudStack, then "
			"the clocks. CloudStack's words: %s",
			others, words);
	else if (left > SKEW_NOTICE_MS || left < -SKEW_NOTICE_MS)
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack did not accept our signature (code 401): this machine's clock is %s, and requests "
			"expire by it. Nothing was done. Set this machine's clock, or have it set (timedatectl set-ntp "
			"true). If that does not help, %s. CloudStack's words: %s",
			skew, others, words);
	else
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack did not accept our signature (code 401) and does not say why. "
			"Either %s. The clock is not the reason: this machine's is %s%s. Nothing "
			"was done. Compare both keys with the user's in CloudStack. CloudStack's "
			"words: %s",
			others, skew, fault->correction_ms ? ", which is allowed for" : "", words);
}

enum cloud_outcome cloud_error_answer(const struct cloud_question *question,
				      const struct cloud_fault *fault, struct err *err)
{
	char words[sizeof(err->cloud_text)];
	enum cloud_outcome outcome = CLOUD_AWAY;

	assert(question && fault && err);

	cloud_text_copy(words, sizeof(words),
			str_empty(fault->text) ? "(no reason given)" : fault->text);
	if (fault->code == CLOUD_CODE_UNAUTHORIZED) {
		explain_unauthorized(fault, words, err);
	} else if (fault->code == CLOUD_CODE_LIMIT) {
		err_set(err, ERR_TOO_MANY,
			"CloudStack's request limit for this account is reached (code 429); trying later: %s",
			words);
	} else if (fault->code == CLOUD_CODE_MAINTENANCE) {
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack takes no new commands at the moment (code 503); trying later: %s",
			words);
	} else if (fault->code == CLOUD_CODE_INTERNAL && !question->change) {
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack could not %s (code 530); trying later: %s", question->what,
			words);
	} else {
		bool gone = says_gone(fault->code, fault->text);

		outcome = CLOUD_REFUSED;
		err_set(err, gone ? ERR_NOT_FOUND : ERR_CLOUD,
			"CloudStack refused to %s: %s (code %d)", question->what, words,
			fault->code);
	}
	remember(err, fault->code, words);
	return outcome;
}

enum cloud_outcome cloud_error_silence(const struct cloud_question *question,
				       const struct http_response *response, struct err *err)
{
	/* CloudStack is to blame for an answer beyond our bound, not the client of this daemon. */
	enum err_code code = response->err.code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	const char *reason = str_empty(response->err.text) ? "no answer" : response->err.text;

	if (!response->sent) {
		err_set(err, code, "CloudStack could not be asked to %s: %s", question->what,
			reason);
		return CLOUD_AWAY;
	}
	if (!question->change) {
		err_set(err, code, "CloudStack did not answer when asked to %s: %s", question->what,
			reason);
		return CLOUD_AWAY;
	}
	err_set(err, code,
		"CloudStack was asked to %s, but the answer was lost, so the command may have "
		"happened: %s",
		question->what, reason);
	return CLOUD_UNKNOWN;
}

/* Proxies answer 408 or 499 if they have waited too long for a request they passed on. */
static bool proves_nothing(int status)
{
	return status < 300 || status >= 500 || status == 408 || status == 499;
}

enum cloud_outcome cloud_error_nonsense(const struct cloud_question *question,
					const struct http_response *response, const char *why,
					struct err *err)
{
	char type[TYPE_TEXT_SIZE];
	bool doubt = question->change && proves_nothing(response->status);

	cloud_text_copy(type, sizeof(type),
			str_empty(response->content_type) ? "no type" : response->content_type);
	err_set(err, ERR_UNAVAILABLE,
		"CloudStack was asked to %s, but the answer can't be understood: %s (HTTP %d, %s). "
		"%s Check that the address is CloudStack's API, and check any proxy in between",
		question->what, why, response->status, type,
		doubt ? "The command may have happened." : "Nothing was done.");
	return doubt ? CLOUD_UNKNOWN : CLOUD_AWAY;
}

void cloud_error_job(int code, const char *text, struct err *err)
{
	char words[sizeof(err->cloud_text)];

	cloud_text_copy(words, sizeof(words), text);
	if (str_empty(words))
		err_set(err, ERR_CLOUD,
			"CloudStack's management server lost the job (code %d): it was restarted, "
			"or the job was cancelled by force. The effects of the job are not undone "
			"and CloudStack may not know of them, so look at the volume before "
			"anything else",
			code);
	else
		err_set(err, says_gone(code, text) ? ERR_NOT_FOUND : ERR_CLOUD,
			"CloudStack's job failed: %s (code %d)", words, code);
	remember(err, code, text);
}

static bool cloud_says(const struct err *err, const char *phrase)
{
	return err && err->cloud_code && strcasestr(err->cloud_text, phrase);
}

bool cloud_err_is_not_attached(const struct err *err)
{
	return cloud_says(err, "volume is not attached to");
}

bool cloud_err_is_attached(const struct err *err)
{
	return cloud_says(err, "specify a volume that is not attached to any") ||
	       cloud_says(err, "is already attached to");
}

bool cloud_err_is_duplicate_job(const struct err *err)
{
	return cloud_says(err, "already exists so can't create/update with custom id");
}

bool cloud_err_is_lost_job(const struct err *err)
{
	if (!err || err->code != ERR_CLOUD || !err->cloud_code)
		return false;
	return !err->cloud_text[0] || cloud_says(err, "cancelled as it has been blocking others");
}
