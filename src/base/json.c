/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading JSON: cJSON does the parsing, and a scan of the text before it and a walk over the tree
 * after it add the checks that cJSON leaves out. The scan looks at structure only: the number of
 * values, each of which costs cJSON more memory and time than any byte of a text; depth, since
 * cJSON recurses up to 1000 levels; NUL, raw or as \u0000, because it would silently cut a string;
 * numbers in a form that is not JSON. The walk finds doubled names, and it marks numbers that were
 * written with a fraction or an exponent: cJSON keeps only the double, in which 9007199254740991.4
 * looks like an integer, and a size must never be the result of rounding. Only a text that can be
 * corrected where it comes from must be UTF-8.
 *
 * struct json is cJSON under another name; no other file can look into it.
 */
#include "base/json.h"

#include <cjson/cJSON.h>

#define INTEGER_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

/* A bit of cJSON's type field that cJSON does not use (it uses the lowest ten). */
#define NUMBER_NOT_PLAIN (1 << 16)

#define FEW_NAMES 32 /* up to here, comparing all pairs takes less than sorting */

static const cJSON *node_of(const struct json *node)
{
	return (const cJSON *)(const void *)node;
}

static const struct json *json_of(const cJSON *node)
{
	return (const struct json *)(const void *)node;
}

/* ---- the text ---- */

struct scan {
	const char *at, *end;
	int depth;
	size_t values, values_max;
};

/* From behind the opening quote to behind the closing one. */
static int scan_string(struct scan *scan, struct err *err)
{
	while (scan->at < scan->end) {
		char c = *scan->at++;

		if (c == '"')
			return 0;
		if (c == '\0')
			break;
		if (c != '\\' || scan->at == scan->end)
			continue;
		if (scan->end - scan->at >= 5 && memcmp(scan->at, "u0000", 5) == 0)
			return err_set(err, ERR_INVALID,
				       "not accepted: a string with a NUL character (\\u0000)");
		scan->at++;
	}
	return err_set(err, ERR_INVALID, "not JSON: a string does not end");
}

static size_t scan_digits(struct scan *scan)
{
	const char *start = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return (size_t)(scan->at - start);
}

static bool scan_take(struct scan *scan, const char *any_of)
{
	if (scan->at == scan->end || !*scan->at || !strchr(any_of, *scan->at))
		return false;
	scan->at++;
	return true;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?; cJSON takes all that strtod() takes. */
static int scan_number(struct scan *scan, bool *out_plain, struct err *err)
{
	const char *first;
	size_t digits;

	*out_plain = true;
	scan_take(scan, "-");
	first = scan->at;
	digits = scan_digits(scan);
	if (digits == 0 || (digits > 1 && *first == '0'))
		goto bad;
	if (scan_take(scan, ".")) {
		*out_plain = false;
		if (scan_digits(scan) == 0)
			goto bad;
	}
	if (scan_take(scan, "eE")) {
		*out_plain = false;
		scan_take(scan, "+-");
		if (scan_digits(scan) == 0)
			goto bad;
	}
	return 0;
bad:
	return err_set(err, ERR_INVALID, "not JSON: a number is malformed");
}

/*
 * A value stands at the beginning, behind each comma, and behind each bracket but those of an empty
 * array or object, which count for one value too many.
 */
static int scan_structure(struct scan *scan, char c, struct err *err)
{
	if (c == ',' || c == '[' || c == '{')
		scan->values++;
	if (c == '[' || c == '{')
		scan->depth++;
	if (c == ']' || c == '}')
		scan->depth--;
	if (scan->values >= scan->values_max)
		return err_set(err, ERR_TOO_LARGE, "not accepted: more than %zu values of JSON",
			       scan->values_max);
	if (scan->depth > JSON_DEPTH_MAX)
		return err_set(err, ERR_INVALID, "not accepted: more than %d levels of JSON",
			       JSON_DEPTH_MAX);
	return 0;
}

/* Skips other text and the next number. 1: a number was found, 0: the text is at its end. */
static int scan_next_number(struct scan *scan, bool *out_plain, struct err *err)
{
	while (scan->at < scan->end) {
		char c = *scan->at;

		if (c == '-' || (c >= '0' && c <= '9'))
			return scan_number(scan, out_plain, err) < 0 ? -1 : 1;
		scan->at++;
		if (c == '\0')
			return err_set(err, ERR_INVALID, "not JSON: a NUL byte in the text");
		if (c == '"' && scan_string(scan, err) < 0)
			return -1;
		if (scan_structure(scan, c, err) < 0)
			return -1;
	}
	return 0;
}

/* *out_plain: all numbers are integers, as in nearly every text. */
static int check_text(struct scan scan, bool *out_plain, struct err *err)
{
	bool plain = true;
	int r;

	*out_plain = true;
	do {
		r = scan_next_number(&scan, &plain, err);
		*out_plain &= plain;
	} while (r > 0);
	return r;
}

/*
 * Two names that differ in bytes that are no characters would be the same name once they are
 * written.
 */
static int check_characters(const char *text, size_t length, struct err *err)
{
	size_t step;

	for (size_t i = 0; i < length; i += step) {
		uint32_t code;

		step = (unsigned char)text[i] < 0x80 ? 1 : utf8_next(text + i, length - i, &code);
		if (step == 0)
			return err_set(err, ERR_INVALID,
				       "not JSON: the text is not UTF-8 at byte %zu", i + 1);
	}
	return 0;
}

/* ---- the tree ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int name_is_doubled(const char *name, struct err *err)
{
	return err_set_field(err, name, ERR_INVALID, "\"%.64s\" is given twice", name);
}

static int check_many_names(const cJSON *object, size_t count, struct err *err)
{
	_cleanup_free_ const char **names = xcalloc(count, sizeof(*names));

	count = 0;
	for (const cJSON *member = object->child; member; member = member->next)
		names[count++] = member->string;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(names[i - 1], names[i]) == 0)
			return name_is_doubled(names[i], err);
	}
	return 0;
}

/* As nearly every object has few, each name is compared with those before it. */
static int check_names(const cJSON *object, struct err *err)
{
	size_t count = 0;

	for (const cJSON *member = object->child; member; member = member->next) {
		if (++count > FEW_NAMES)
			continue;
		for (const cJSON *other = object->child; other != member; other = other->next) {
			if (other->string[0] == member->string[0] &&
			    strcmp(other->string, member->string) == 0)
				return name_is_doubled(member->string, err);
		}
	}
	return count > FEW_NAMES ? check_many_names(object, count, err) : 0;
}

/*
 * Visits nodes in the order of the text, so that the nth number node is the nth number of the scan.
 * The scan has already bounded the depth. scan: NULL if all numbers are plain.
 */
static int check_tree(cJSON *node, struct scan *scan, bool strict, struct err *err)
{
	bool plain = true;

	if (scan && cJSON_IsNumber(node) && scan_next_number(scan, &plain, err) > 0 && !plain)
		node->type |= NUMBER_NOT_PLAIN;
	if (strict && cJSON_IsObject(node) && check_names(node, err) < 0)
		return -1;
	for (cJSON *child = node->child; child; child = child->next) {
		if (check_tree(child, scan, strict, err) < 0)
			return -1;
	}
	return 0;
}

static struct json *parse(const char *text, size_t length, bool strict, struct err *err)
{
	struct scan scan = { .at = text,
			     .end = text + length,
			     .values_max = strict ? JSON_VALUES_MAX : JSON_VALUES_LENIENT_MAX };
	const char *end = NULL;
	bool plain;
	cJSON *tree;

	if ((strict && check_characters(text, length, err) < 0) ||
	    check_text(scan, &plain, err) < 0)
		return NULL;
	tree = cJSON_ParseWithLengthOpts(text, length, &end, false);
	if (!tree) {
		err_set(err, ERR_INVALID, "not JSON: the text cannot be understood at byte %zu",
			end && end >= text ? (size_t)(end - text) + 1 : (size_t)1);
		return NULL;
	}
	while (end < text + length && strchr(" \t\r\n", *end))
		end++;
	if (end < text + length)
		err_set(err, ERR_INVALID, "not JSON: more text follows the value at byte %zu",
			(size_t)(end - text) + 1);
	else if ((plain && !strict) || check_tree(tree, plain ? NULL : &scan, strict, err) == 0)
		return (struct json *)(void *)tree;
	cJSON_Delete(tree);
	return NULL;
}

struct json *json_parse(const char *text, size_t length, struct err *err)
{
	return parse(text, length, true, err);
}

struct json *json_parse_lenient(const char *text, size_t length, struct err *err)
{
	return parse(text, length, false, err);
}

void json_free(struct json *document)
{
	cJSON_Delete((cJSON *)(void *)document);
}

void json_freep(struct json **document)
{
	json_free(*document);
}

/* ---- access ---- */

enum json_kind json_kind(const struct json *node)
{
	const cJSON *item = node_of(node);

	if (cJSON_IsBool(item))
		return JSON_BOOL;
	if (cJSON_IsNumber(item))
		return JSON_NUMBER;
	if (cJSON_IsString(item))
		return JSON_TEXT;
	if (cJSON_IsArray(item))
		return JSON_ARRAY;
	if (cJSON_IsObject(item))
		return JSON_OBJECT;
	return JSON_NULL;
}

const char *json_kind_name(enum json_kind kind)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",       [JSON_BOOL] = "true or false",
		[JSON_NUMBER] = "a number", [JSON_TEXT] = "a string",
		[JSON_ARRAY] = "an array",  [JSON_OBJECT] = "an object",
	};

	_Static_assert(ARRAY_SIZE(names) == JSON_OBJECT + 1, "each kind has a name");
	return names[kind];
}

void json_drop(struct json *object, const char *name)
{
	cJSON_DeleteItemFromObjectCaseSensitive((cJSON *)(void *)object, name);
}

const struct json *json_get(const struct json *object, const char *name)
{
	if (!cJSON_IsObject(node_of(object)))
		return NULL;
	return json_of(cJSON_GetObjectItemCaseSensitive(node_of(object), name));
}

const struct json *json_first(const struct json *container)
{
	return container ? json_of(node_of(container)->child) : NULL;
}

const struct json *json_next(const struct json *node)
{
	return node ? json_of(node_of(node)->next) : NULL;
}

const char *json_name(const struct json *member)
{
	return member ? node_of(member)->string : NULL;
}

const char *json_text(const struct json *node)
{
	return cJSON_GetStringValue(node_of(node));
}

int json_integer(const struct json *node, int64_t *out)
{
	const cJSON *item = node_of(node);

	if (!cJSON_IsNumber(item) || (item->type & NUMBER_NOT_PLAIN))
		return -1;
	if (!(item->valuedouble >= (double)-INTEGER_MAX &&
	      item->valuedouble <= (double)INTEGER_MAX))
		return -1;
	*out = (int64_t)item->valuedouble;
	return 0;
}

bool json_true(const struct json *node)
{
	return cJSON_IsTrue(node_of(node)) || streq(json_text(node), "true");
}

double json_number(const struct json *node)
{
	return cJSON_IsNumber(node_of(node)) ? node_of(node)->valuedouble : 0;
}
