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
 * CloudStack's numbers are broad. 431 means anything from a wrong UUID to "not in this state", and
 * every failed job has 530, so some meanings are only in the text, and this file alone reads them
 * there. Texts differ between versions: for some of them a VM is a "VM", for others an "Instance".
 */

#include <assert.h>
#include <stdio.h>

#include "cloud/cloud_error.h"

#define WAIT_DEFAULT_MS 1000 /* the server's default window */
#define WAIT_MAX_MS 60000
#define TYPE_TEXT_SIZE 64
#define COMMAND_SIZE 64

#define PHRASE_PCI_SLOTS "no more available PCI slots" /* of libvirt, on q35 and arm64 */
/* The name of the setting that lets users expunge; the refusal quotes it. */
#define PHRASE_EXPUNGE "allow.user.expunge.recover.volume"

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

void cloud_words_copy(char out[ERR_CLOUD_TEXT_SIZE], const char *text)
{
	_cleanup_free_ char *clean = NULL;
	size_t size = strlen(str_or(text, "")) + 1;

	clean = xmalloc(size);
	cloud_text_copy(clean, size, text);
	err_text_format(out, ERR_CLOUD_TEXT_SIZE, "%s", clean);
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

bool cloud_error_is_no_command(const struct err *err)
{
	return err->cloud_code == CLOUD_CODE_INTERNAL &&
	       strstr(err->cloud_text, "unable to find an api by that name");
}

bool cloud_error_page_size(const struct err *err, int64_t *limit)
{
	const char *number;

	*limit = 0;
	if (err->cloud_code != CLOUD_CODE_PARAMETER || !strcasestr(err->cloud_text, "page size"))
		return false;
	number = strrchr(err->cloud_text, ':');
	if (!number)
		return true;
	number += 1 + strspn(number + 1, " ");
	if (parse_i64(number, limit) < 0 || *limit < 0)
		*limit = 0;
	return true;
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
	return str_has_prefix(name, "id ") || str_has_prefix(name, "jobid ") ||
	       str_has_prefix(name, "volumeid ");
}

/*
 * "Unable to find UUID for id [65] of type [Volume]": the id belonged to a volume, or a
 * snapshot, that is deleted. The same text about another type means another object of the command,
 * such as its VM.
 */
static bool says_deleted(const char *text)
{
	return str_has_prefix(text, "Unable to find UUID for id [") &&
	       (strstr(text, "] of type [Volume]") || strstr(text, "] of type [Snapshot]"));
}

/* Nothing else proves that the object of a command is gone; an empty list does not. */
static bool says_gone(int code, const char *text)
{
	return code == CLOUD_CODE_PARAMETER && text &&
	       (says_unknown_id(text) || says_deleted(text) ||
		str_has_prefix(text, "Unable to find volume with ID"));
}

/* Each phrase is long enough not to stand in a user's name of a volume by chance. The first row
 * that fits counts. */
static const struct {
	enum err_reason reason;
	const char *phrase; /* in letters of any case */
} meanings[] = {
	{ ERR_REASON_MAINTENANCE, "can not accept new jobs" },
	{ ERR_REASON_MAINTENANCE, "shutdown has been initiated" },
	{ ERR_REASON_MAINTENANCE, "shutdown has been triggered" },
	{ ERR_REASON_BUSY, "there is other active" }, /* "… snapshot tasks on the instance" */
	{ ERR_REASON_BUSY, "there are snapshot operations in progress" },
	{ ERR_REASON_VM_SNAPSHOTS, "does not have VM snapshots" },
	{ ERR_REASON_VM_SNAPSHOTS, "does not have Instance snapshots" },
	{ ERR_REASON_VM_SNAPSHOTS, "with any VM snapshots" },
	{ ERR_REASON_VM_SNAPSHOTS, "with any Instance snapshots" },
	{ ERR_REASON_VM_BACKUPS, "does not have any backups" },
	{ ERR_REASON_VM_BACKUPS, "cannot detach volume from a VM that has backups" },
	{ ERR_REASON_VM_BACKUPS, "cannot detach volume from an Instance that has backups" },
	{ ERR_REASON_VM_RUNNING, "can happen only when vm is in states: Stopped" },
	{ ERR_REASON_VM_RUNNING, "is attached to is not in the shutdown state" },
	{ ERR_REASON_NO_DEVICE_SLOT, "all device ids are used by" },
	{ ERR_REASON_NO_DEVICE_SLOT, "has the maximum number of data disks" },
	{ ERR_REASON_NO_DEVICE_SLOT, PHRASE_PCI_SLOTS },
	/* libvirt's, and QEMU's */
	{ ERR_REASON_DISK_REMAINS, "duplicated for disk sources" },
	{ ERR_REASON_DISK_REMAINS, "operation failed: target " },
	{ ERR_REASON_DISK_REMAINS, "failed to get \"write\" lock" },
	{ ERR_REASON_QUOTA, "maximum amount of resources of type" },
	{ ERR_REASON_QUOTA, "maximum number of resources of type" },
	{ ERR_REASON_QUOTA, "maximum domain resource limits of type" },
	{ ERR_REASON_DELETE_PROTECTION, "has delete protection enabled" },
	{ ERR_REASON_FORBIDDEN_COMMAND, "does not exist or is not available for the account" },
	{ ERR_REASON_FORBIDDEN_COMMAND, PHRASE_EXPUNGE },
	{ ERR_REASON_OTHER_ACCOUNT, "belong to different accounts" },
	{ ERR_REASON_OTHER_ACCOUNT, "does not have permission to operate with" },
	{ ERR_REASON_UNKNOWN_OFFERING, "invalid parameter diskofferingid value=" },
	{ ERR_REASON_UNKNOWN_OFFERING, "please specify a valid disk offering" },
	{ ERR_REASON_UNKNOWN_OFFERING, "] of type [DiskOffering]" },
	{ ERR_REASON_UNKNOWN_ZONE, "invalid parameter zoneid value=" },
	{ ERR_REASON_UNKNOWN_ZONE, "unable to find zone by id" },
	{ ERR_REASON_UNKNOWN_ZONE, "] of type [DataCenter]" },
	{ ERR_REASON_UNKNOWN_PROJECT, "invalid parameter projectid value=" },
	{ ERR_REASON_UNKNOWN_VM, "invalid parameter virtualmachineid value=" },
	{ ERR_REASON_UNKNOWN_VM, "please specify a valid user VM" },
	{ ERR_REASON_UNKNOWN_VM, "] of type [VirtualMachine]" },
};

/* The code decides where no phrase does. text may be NULL, and is the whole text: names in it can
 * be longer than the part that is kept. */
static enum err_reason find_reason(int code, const char *text)
{
	for (size_t i = 0; text && i < ARRAY_SIZE(meanings); i++) {
		if (strcasestr(text, meanings[i].phrase))
			return meanings[i].reason;
	}
	if (code == CLOUD_CODE_MAINTENANCE)
		return ERR_REASON_MAINTENANCE;
	return code == CLOUD_CODE_ALLOCATION ? ERR_REASON_QUOTA : ERR_REASON_NONE;
}

static void remember(struct err *err, int code, const char *text, enum err_reason reason)
{
	err->reason = reason;
	err->cloud_code = code;
	cloud_words_copy(err->cloud_text, text);
}

void cloud_error_late(const char *what, const char *words, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE,
		"the request to %s reached CloudStack after its time and was refused (code 401); trying again",
		what);
	remember(err, CLOUD_CODE_UNAUTHORIZED, words, ERR_REASON_NONE);
}

void cloud_error_unknown_command(const char *command, const char *what, const char *words,
				 struct err *err)
{
	err_set(err, ERR_CLOUD,
		"CloudStack refused to %s: this server does not know the command %s, or the account may not "
		"use it (code 401, while other commands of the same keys are answered)",
		what, command);
	remember(err, CLOUD_CODE_UNAUTHORIZED, words, ERR_REASON_FORBIDDEN_COMMAND);
}

void cloud_error_clock(const char *words, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE,
		"CloudStack accepts the keys, but not requests that expire (code 401): its clock and this "
		"machine's differ by more than a day, or CloudStack's servers differ from each other. Nothing "
		"was done. Set this machine's clock, or have it set (timedatectl set-ntp true), then look at "
		"the clocks of CloudStack's management servers");
	remember(err, CLOUD_CODE_UNAUTHORIZED, words, ERR_REASON_NONE);
}

void cloud_error_keys(const char *words, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE,
		"CloudStack did not accept our signature (code 401): the API key or the secret key is wrong, "
		"or the user or account is disabled or may not use keys, or not from this address. Nothing "
		"was done. Compare both keys with the user's in CloudStack. CloudStack's words: %s",
		words);
	remember(err, CLOUD_CODE_UNAUTHORIZED, words, ERR_REASON_NONE);
}

/* The name in "The API [updateVolume] does not exist …"; "" if the text names none. */
static void copy_command(char out[COMMAND_SIZE], const char *text)
{
	static const char opening[] = "The API [";
	const char *name = strstr(text, opening);
	size_t length;

	out[0] = '\0';
	if (!name)
		return;
	name += sizeof(opening) - 1;
	length = strcspn(name, "]");
	if (length < COMMAND_SIZE)
		snprintf(out, COMMAND_SIZE, "%.*s", (int)length, name);
}

/* what: "CloudStack refused to delete the volume", "CloudStack's job failed" */
static void word_forbidden(const char *what, int code, const char *words, struct err *err)
{
	char command[COMMAND_SIZE];

	if (strstr(words, PHRASE_EXPUNGE)) {
		err_set(err, ERR_CLOUD,
			"%s: only an administrator may expunge volumes there (code %d). Ask an administrator of "
			"CloudStack to set " PHRASE_EXPUNGE
			" for this account, or to delete the volume",
			what, code);
		return;
	}
	copy_command(command, words);
	err_set(err, ERR_CLOUD,
		"%s: the role of the account does not allow %s%s, or this server does not know it (code %d). "
		"Ask an administrator of CloudStack to add the command to the role",
		what, *command ? "the command " : "this command", command, code);
}

static enum cloud_outcome refuse(const struct cloud_question *question, int code, const char *text,
				 const char *words, enum err_reason reason, struct err *err)
{
	_cleanup_free_ char *what = xasprintf("CloudStack refused to %s", question->what);

	if (reason == ERR_REASON_FORBIDDEN_COMMAND)
		word_forbidden(what, code, words, err);
	else
		err_set(err, says_gone(code, text) ? ERR_NOT_FOUND : ERR_CLOUD, "%s: %s (code %d)",
			what, words, code);
	return CLOUD_REFUSED;
}

enum cloud_outcome cloud_error_answer(const struct cloud_question *question,
				      const struct cloud_fault *fault, struct err *err)
{
	char words[ERR_CLOUD_TEXT_SIZE];
	enum cloud_outcome outcome = CLOUD_AWAY;
	enum err_reason reason;

	assert(question && fault && err);

	cloud_words_copy(words, str_empty(fault->text) ? "(no reason given)" : fault->text);
	reason = find_reason(fault->code, fault->text);
	if (fault->code == CLOUD_CODE_UNAUTHORIZED) {
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack did not accept our signature (code 401) and does not say why: %s",
			words);
	} else if (fault->code == CLOUD_CODE_LIMIT) {
		err_set(err, ERR_TOO_MANY,
			"CloudStack's request limit for this account is reached (code 429); trying later: %s",
			words);
	} else if (reason == ERR_REASON_MAINTENANCE) {
		/* The server may refuse new jobs only after it has made the object. */
		outcome = question->creates ? CLOUD_UNKNOWN : CLOUD_AWAY;
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack takes no new commands at the moment (code %d); trying later: %s",
			fault->code, words);
	} else if (fault->code == CLOUD_CODE_INTERNAL && !question->change) {
		/* The same read may be answered later; CloudStack answers all other requests. */
		err_set(err, ERR_CLOUD, "CloudStack could not %s: %s (code %d)", question->what,
			words, fault->code);
	} else {
		outcome = refuse(question, fault->code, fault->text, words, reason, err);
	}
	remember(err, fault->code, words, reason);
	return outcome;
}

enum cloud_outcome cloud_error_silence(const struct cloud_question *question,
				       const struct http_response *response, struct err *err)
{
	/* CloudStack is to blame for an answer beyond our bound, not the client of this daemon. */
	enum err_code code = response->err.code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	_cleanup_free_ char *reason =
		xasprintf("%s%s", str_empty(response->err.text) ? "no answer" : response->err.text,
			  code == ERR_TIMEOUT ? " (cloud.timeout)" : "");

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

/* A signed request goes to no server but the configured one, and a POST would become a GET. The
 * text shows scheme and host of the other place, since the rest of a Location may repeat the
 * request. */
enum cloud_outcome cloud_error_redirect(const struct cloud_question *question,
					const struct http_response *response, struct err *err)
{
	if (!str_empty(response->redirect))
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack was asked to %s, but the address in cloud.url redirects to another "
			"(HTTP %d), and this daemon follows no redirect. Nothing was done. If the other "
			"address is this CloudStack's, set cloud.url to %s",
			question->what, response->status, response->redirect);
	else
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack was asked to %s, but the address in cloud.url redirects to another "
			"path of the same server (HTTP %d), such as a page to log in. Nothing was done. "
			"Set cloud.url to the path of CloudStack's API, which is /client/api by default",
			question->what, response->status);
	return CLOUD_AWAY;
}

void cloud_error_job(int code, const char *text, struct err *err)
{
	char words[ERR_CLOUD_TEXT_SIZE];
	enum err_reason reason;

	cloud_words_copy(words, text);
	reason = find_reason(code, text);
	if (str_empty(words))
		err_set(err, ERR_CLOUD,
			"CloudStack's management server lost the job (code %d): it was restarted, "
			"or the job was cancelled by force. The effects of the job are not undone "
			"and CloudStack may not know of them, so look at the volume before "
			"anything else",
			code);
	else if (reason == ERR_REASON_MAINTENANCE)
		err_set(err, ERR_UNAVAILABLE,
			"CloudStack's management server was about to stop and did not do the job (code %d); "
			"try again: %s",
			code, words);
	else if (reason == ERR_REASON_FORBIDDEN_COMMAND)
		word_forbidden("CloudStack's job failed", code, words, err);
	else
		err_set(err, says_gone(code, text) ? ERR_NOT_FOUND : ERR_CLOUD,
			"CloudStack's job failed: %s (code %d)", words, code);
	remember(err, code, text, str_empty(words) ? ERR_REASON_NONE : reason);
}

static bool cloud_says(const struct err *err, const char *phrase)
{
	return err && err->cloud_code && strcasestr(err->cloud_text, phrase);
}

bool cloud_err_is_refusal(const struct err *err)
{
	return err->cloud_code && (err->code == ERR_CLOUD || err->code == ERR_NOT_FOUND);
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

bool cloud_err_is_no_pci_slot(const struct err *err)
{
	return cloud_says(err, PHRASE_PCI_SLOTS);
}

bool cloud_err_is_no_expunge(const struct err *err)
{
	return cloud_says(err, PHRASE_EXPUNGE);
}

bool cloud_err_is_only_expunge(const struct err *err)
{
	return cloud_says(err, "can only be expunged not destroyed");
}

bool cloud_err_is_duplicate_job(const struct err *err)
{
	/* 4.18 answers with the second text, also if another kind of object exists already. */
	return cloud_says(err, "already exists so can't create/update with custom id") ||
	       cloud_says(err, "Entity already exists");
}

bool cloud_err_is_lost_job(const struct err *err)
{
	if (!err || err->code != ERR_CLOUD || !err->cloud_code)
		return false;
	return !err->cloud_text[0] || cloud_says(err, "cancelled as it has been blocking others");
}
