/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A struct that can describe itself.
 *
 * A record is a C struct with a table of its members: name, type, limits, default, documentation.
 * Arguments, results, configuration, stored rows and operation contexts are records, so JSON,
 * D-Bus, SQL, command lines, the sample configuration and help texts are all walks over one table
 * and cannot disagree with the struct or each other.
 *
 * FIELD() takes offset and size from the member and does not compile if the member's C type does
 * not match its field type.
 */

#include "base/err.h"
#include "base/json.h"

/*          field type | C type   | JSON               | D-Bus | text                       */
enum field_type {
	FIELD_TEXT,       /* char *    string                 s       as it is                  */
	FIELD_UUID,       /* char *    string                 s       lower-cased when read     */
	FIELD_BOOL,       /* bool      true/false             b       yes/no                    */
	FIELD_INT,        /* int64_t   integer                x       decimal                   */
	FIELD_PORT,       /* int64_t   integer                q       decimal                   */
	FIELD_RATIO,      /* double    number, 0 to 1 or -1   d       decimal                   */
	FIELD_SIZE,       /* uint64_t  integer, bytes         t       5GiB, or bytes            */
	FIELD_TIME,       /* int64_t   RFC 3339 string        s       RFC 3339; 0 = not set     */
	FIELD_DURATION,   /* int64_t   integer, milliseconds  x       2s, 250ms, 5min           */
	FIELD_ENUM,       /* int       string                 s       one of names[]            */
	FIELD_OBJECT,     /* char *    object (kept as text)  a{sv}   JSON                      */
	FIELD_ITEMS,      /* char *    array of objects       aa{sv}  JSON; in answers alone    */
	FIELD_DESCRIPTOR, /* int     none                   h       none: on D-Bus alone      */
	FIELD_TYPE_COUNT
};

struct field_type_view {
	const char *json;   /* OpenAPI type */
	const char *format; /* OpenAPI format or NULL */
	const char *bus;    /* D-Bus signature */
	const char *what;   /* "a size such as 5GiB", for people */
};
const struct field_type_view *field_type_view(enum field_type type);

enum field_flag {
	/* must be given; on D-Bus and the command line by position, in table order */
	FIELD_REQUIRED = 1 << 0,
	FIELD_OMIT = 1 << 1,   /* left out of JSON if NULL, 0 or false */
	FIELD_COLUMN = 1 << 2, /* shown as a column in volumectl's tables */
	/* accepted over REST alone: existing clients send it, or its meaning is limited to REST */
	FIELD_REST_ONLY = 1 << 3,
	FIELD_PRIVATE = 1 << 4, /* stored, never shown outside */
	/* volumectl fills in the appliance's VM id if the user gives none */
	FIELD_APPLIANCE = 1 << 5,
	/* identifies the request, is no argument, and never stands in JSON; see spec */
	FIELD_KEY = 1 << 7,
	FIELD_DETAIL = 1 << 6, /* for programs: volumectl shows it with --json only */
	/* found out on demand: in answers, not among an object's D-Bus properties */
	FIELD_ASKED = 1 << 8,
	/* volumectl takes it by position, although no path contains it */
	FIELD_POSITIONAL = 1 << 9,
	/* required; but if it is absent (on D-Bus: ""), the daemon may know the value */
	FIELD_DEFAULTED = 1 << 10,
	/* the time for which the caller waits for a change that has not come yet; 0: not at all */
	FIELD_WAIT = 1 << 11,
	/* the same from the record's beginning to its end: a constant property on D-Bus */
	FIELD_CONST = 1 << 12,
	/* large, and seldom wanted: on D-Bus a property for those who read it (Get, GetAll), which
	 * neither lists of objects nor signals carry */
	FIELD_APART = 1 << 13,
	/* asks for the plan of the change, in place of the change; over REST, and an option of
	 * volumectl. D-Bus has a method of its own for that */
	FIELD_PLAN = 1 << 17,
	/* volumectl takes several by position, and makes a call for each */
	FIELD_MANY = 1 << 14,
	/* a list of such values; only in what an object holds */
	FIELD_LIST = 1 << 15,
	FIELD_SECRET = 1 << 16, /* of an answer: wiped from the memory in which it was written */
	FIELD_ANY = 1 << 18,    /* 0 stands for any value: volumectl shows the word */
};

struct record;

struct field {
	const char *name;
	enum field_type type;
	unsigned short offset;
	unsigned short size;
	unsigned flags;
	/* value, or length of a text in characters, of an object in bytes; both 0, or max < min =
	 * unlimited */
	int64_t min, max;
	const char *fallback;       /* default, as text; NULL = zero */
	const char *const *names;   /* FIELD_ENUM: words by value, ended by NULL */
	const struct record *items; /* FIELD_ITEMS: describes an item */
	/* FIELD_UUID: the kind of the object that the value names; NULL: volumectl lists no such
	 * kind */
	const struct record *refers_to;
	/* FIELD_OBJECT: what the object holds; NULL, or a member without a row: anything */
	const struct record *members;
	/*
	 * FIELD_TEXT: what D-Bus shows of this value; NULL: the value. object is the struct, NULL
	 * for a value inside an object. The text lives as long as the value.
	 */
	const char *(*bus_text)(const char *value, const void *object);
	const char *option; /* volumectl's --option if it is not the name with dashes */
	const char *doc;    /* one sentence for people; never empty */
};

struct record {
	const char *name; /* "volume", used in OpenAPI and texts */
	size_t size;
	const struct field *fields;
	size_t count;
};

static inline bool field_must_be_given(const struct field *field)
{
	return (field->flags & (FIELD_REQUIRED | FIELD_DEFAULTED)) == FIELD_REQUIRED;
}

#define FIELD_C_TEXT char *
#define FIELD_C_UUID char *
#define FIELD_C_BOOL bool
#define FIELD_C_INT int64_t
#define FIELD_C_PORT int64_t
#define FIELD_C_RATIO double
#define FIELD_C_SIZE uint64_t
#define FIELD_C_TIME int64_t
#define FIELD_C_DURATION int64_t
#define FIELD_C_ENUM int
#define FIELD_C_OBJECT char *
#define FIELD_C_ITEMS char *
/* an open file of the struct, never 0; 0: none */
#define FIELD_C_DESCRIPTOR int

#define FIELD_SIZE_OF(STRUCT, MEMBER, TYPE)                                                        \
	(sizeof(((struct STRUCT *)0)->MEMBER) *                                                    \
	 sizeof(char[__builtin_types_compatible_p(typeof(((struct STRUCT *)0)->MEMBER),            \
						  FIELD_C_##TYPE)                                  \
			     ? 1                                                                   \
			     : -1]))

/* FIELD(volume_create_args, name, TEXT, .flags = FIELD_REQUIRED, .max = 255, .doc = "…") */
#define FIELD(STRUCT, MEMBER, TYPE, ...)                                                           \
	{                                                                                          \
		.name = #MEMBER, .type = FIELD_##TYPE, .offset = offsetof(struct STRUCT, MEMBER),  \
		.size = FIELD_SIZE_OF(STRUCT, MEMBER, TYPE), __VA_ARGS__                           \
	}

#define RECORD(NAME, STRUCT, TABLE)                                                                \
	{                                                                                          \
		.name = (NAME), .size = sizeof(struct STRUCT), .fields = (TABLE),                  \
		.count = ARRAY_SIZE(TABLE)                                                         \
	}

const struct field *record_find(const struct record *record, const char *name);

/* The member itself. */
static inline void *field_of(const struct field *field, void *object)
{
	return (char *)object + field->offset;
}
static inline const void *field_of_const(const struct field *field, const void *object)
{
	return (const char *)object + field->offset;
}

void record_init(const struct record *record, void *object); /* all defaults */
/* frees the texts, closes the descriptors, zeroes everything */
void record_clear(const struct record *record, void *object);
/*
 * deep; clears `to` first. A descriptor becomes -1 if the process can have no more;
 * record_check_required() tells.
 */
void record_copy(const struct record *record, void *to, const void *from);

/* The same for one member; a descriptor of `to` must be closed before. */
void field_copy(const struct field *field, void *to, const void *from);

/*
 * The bytes that the record takes in a message at most, about: names, texts, numbers. D-Bus needs
 * up to eight times as much for an object as JSON does.
 */
size_t record_weight(const struct record *record, const void *object);

/* Typed access for surfaces. */
bool field_is_set(const struct field *field, const void *object); /* not NULL, not 0, not false */
/* The same for a reader: NULL and "" are the same text, NULL and "{}" the same object. */
bool field_is_same(const struct field *field, const void *a, const void *b);
const char *field_word(const struct field *field, const void *object); /* a FIELD_ENUM's word */

/* One value from text (configuration, query string, command line); checks the limits. */
int field_from_text(const struct field *field, void *object, const char *text, struct err *err);
/* One value to text, as field_from_text() reads it. */
void field_to_text(const struct field *field, const void *object, struct buf *out);
int field_from_json(const struct field *field, void *object, const struct json *node,
		    struct err *err);
/*
 * The value only, without its name. NULL texts are "", a NULL object is {}, a time that is not set
 * is null.
 */
void field_to_json(const struct field *field, const void *object, struct json_writer *w);
/* Checks the limits only, for a value set by other means (D-Bus). */
int field_check(const struct field *field, const void *object, struct err *err);

/*
 * Reads the members of a JSON object into an initialised struct. An unknown member or a wrong type
 * is ERR_INVALID naming the field; null for a field that is not required leaves its default.
 * record_check_required() is separate, since some required values come from the path.
 */
int record_from_json(const struct record *record, void *object, const struct json *node,
		     struct err *err);
/*
 * ERR_INVALID naming the first required field that is missing: a text that is NULL or "", a size or
 * time of 0, or a number of 0 whose limits do not allow 0.
 */
int record_check_required(const struct record *record, const void *object, struct err *err);
/* An object with all public fields; with_private adds the FIELD_PRIVATE ones (for the store). */
/* The members alone: the caller begins and ends the object. */
void record_members_to_json(const struct record *record, const void *object, bool with_private,
			    struct json_writer *w);
void record_to_json(const struct record *record, const void *object, bool with_private,
		    struct json_writer *w);
