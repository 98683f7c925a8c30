/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Errors, and the one map from an error to its forms outside.
 *
 * A function that can fail returns 0 or -1 and fills its last parameter, a struct err, if and only
 * if it fails: an answer carries the struct alone, and its code says whether the answer is an error
 * (tests/err_checked checks this). The text is written once, where the cause is known, in the
 * user's words, with the reason and the remedy; it names the field and never holds a key, a
 * signature or a signed URL. Layers above pass the text on untouched or put their own circumstance
 * in front (err_prefix).
 */

#include <stdarg.h>

#include "base/util.h"

enum err_code {
	ERR_NONE,
	ERR_INVALID,      /* the request is malformed or outside its limits */
	ERR_UNAUTHORIZED, /* the caller is unknown */
	ERR_FORBIDDEN,    /* the caller may not do this */
	ERR_NOT_FOUND,    /* no such object */
	ERR_NO_SUCH_PATH, /* no such route or method name */
	ERR_BAD_VERB,     /* the path exists, the HTTP method does not fit it */
	ERR_CONFLICT,     /* wrong state, in use, already mapped, ambiguous device */
	ERR_CANCELLED,    /* stopped by request */
	ERR_TOO_LARGE,
	ERR_MEDIA_TYPE,
	ERR_MISDIRECTED, /* HTTP Host is not ours */
	ERR_TOO_MANY,    /* a limit of ours or of CloudStack's is reached */
	ERR_CLOUD,       /* CloudStack refused; cloud_code and cloud_text hold its words */
	ERR_INTERNAL,    /* our own fault */
	ERR_UNAVAILABLE, /* a part we need is away; trying later helps */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_CODE_COUNT
};

/* The cause, where a program may want to know more than the code says. */
enum err_reason {
	ERR_REASON_NONE,
	ERR_REASON_IN_USE,            /* the disk has users; the text names them */
	ERR_REASON_DISK_REMAINS,      /* CloudStack has it detached, its unused disk is here */
	ERR_REASON_MAINTENANCE,       /* CloudStack takes no new jobs at the moment */
	ERR_REASON_BUSY,              /* another job of CloudStack's is in the way */
	ERR_REASON_VM_SNAPSHOTS,      /* the VM has VM snapshots */
	ERR_REASON_VM_BACKUPS,        /* the VM has backups */
	ERR_REASON_VM_RUNNING,        /* the VM runs, and its root disk can change only while not */
	ERR_REASON_NO_DEVICE_SLOT,    /* the VM takes no more disks */
	ERR_REASON_QUOTA,             /* a limit of the account, project or domain */
	ERR_REASON_DELETE_PROTECTION, /* the volume is protected from deletion */
	ERR_REASON_FORBIDDEN_COMMAND, /* the account may not use a command, or it is unknown */
	ERR_REASON_OTHER_ACCOUNT,     /* volume or VM belongs to another account or project */
	ERR_REASON_UNKNOWN_OFFERING,
	ERR_REASON_UNKNOWN_ZONE,
	ERR_REASON_UNKNOWN_PROJECT,
	ERR_REASON_UNKNOWN_VM,
	ERR_REASON_COUNT
};

/* CloudStack's texts have been seen with 4 KiB, and a text may name sixteen users of a disk. A text
 * beyond these bounds is cut between characters, and ends with " [cut]". */
#define ERR_TEXT_SIZE 8192
#define ERR_CLOUD_TEXT_SIZE 4608

/*
 * Large: an object that lives long, or of which there are many, keeps a pointer (err_keep). A
 * function that each request passes begins with err_clear(), not with "= { 0 }", which would zero
 * all of it.
 */
struct err {
	enum err_code code;
	enum err_reason reason;
	int cloud_code; /* CloudStack's errorcode, 0 if none */
	char field[48]; /* the argument or configuration key at fault, "" if none */
	char text[ERR_TEXT_SIZE];
	char cloud_text[ERR_CLOUD_TEXT_SIZE]; /* CloudStack's errortext, "" if none */
};

/* The names of an error code outside. */
struct err_view {
	const char *word; /* REST "code", fixed by the contract */
	int http_status;
	const char *bus_name; /* last part of org.migratekit.VolumeDaemon1.Error.<Name> */
	int exit_code;        /* of volumectl */
	bool retry_helps;
};

#define ERR_BUS_PREFIX "org.migratekit.VolumeDaemon1.Error."

const struct err_view *err_view(enum err_code code);
/* The code whose D-Bus error name is this one (with prefix), else ERR_INTERNAL. */
enum err_code err_from_bus_name(const char *name);
/* The code for a stored REST word, else ERR_INTERNAL. */
enum err_code err_from_word(const char *word);
/* The word for clients, such as "vm_snapshots"; NULL for ERR_REASON_NONE. */
const char *err_reason_word(enum err_reason reason);

/* Both return -1, so that "return err_set(...)" reads well. err may be NULL. */
int err_set(struct err *err, enum err_code code, const char *format, ...) _printf_(3, 4);
int err_set_field(struct err *err, const char *field, enum err_code code, const char *format, ...)
	_printf_(4, 5);
int err_set_reason(struct err *err, enum err_reason reason, enum err_code code, const char *format,
		   ...) _printf_(4, 5);
int err_vset(struct err *err, enum err_code code, const char *format, va_list args) _printf_(3, 0);
/* There is no error: in a new struct, or since a failure does not count because another attempt
 * succeeded, or because the goal was reached before. err may be NULL. */
void err_clear(struct err *err);
/* Puts the circumstance in front of the text: "attaching volume X: <text>". */
void err_prefix(struct err *err, const char *format, ...) _printf_(2, 3);
/* Like an assignment, but without the unused rest of the texts. */
void err_copy(struct err *to, const struct err *from);
/* Keeps a copy in *slot; NULL, or an error with ERR_NONE, empties it. */
void err_keep(struct err **slot, const struct err *err);
/* Cut and marked as the text of an error is, for texts that errors become part of. */
void err_text_format(char *out, size_t size, const char *format, ...) _printf_(3, 4);
void err_text_vformat(char *out, size_t size, const char *format, va_list args) _printf_(3, 0);
/* Says the same error in other words; all but the text stays. The arguments may point into err. */
void err_reword(struct err *err, const char *format, ...) _printf_(2, 3);
