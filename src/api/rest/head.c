/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * evhttp reads a head more generously than HTTP allows, and answers the faults that it does find
 * with a page of its own. So this check refuses all that evhttp would refuse, in the daemon's
 * words, and all that two programs on the way of a request could read in two ways: above all the
 * length of the body, since bytes that one of them takes for the body are the next request for the
 * other.
 *
 * What evhttp takes wrongly is passed on in another form. evhttp knows few verbs, reads no body of
 * some of them, and answers CONNECT without a length; each verb that no path takes becomes PATCH,
 * which no path takes either. A target with an authority becomes a path, and its authority the
 * header Host, which HTTP gives it the rank of.
 */

#include "api/rest/head.h"

#include <assert.h>
#include <strings.h>

struct text {
	const char *start;
	size_t length;
};

struct head_reader {
	struct request_head *head;
	struct text verb, target;
	struct text authority; /* of the target; start is NULL if it has none */
	bool is_encrypted, is_1_0, has_host, has_length;
	struct buf *passed;
};

#define UNKNOWN_VERB "PATCH"

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_length(const char *text, size_t length)
{
	size_t count = 0;

	while (count < length && is_token_char((unsigned char)text[count]))
		count++;
	return count;
}

static bool is_text_char(unsigned char c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool text_is(struct text text, const char *word)
{
	return text.length == strlen(word) && strncasecmp(text.start, word, text.length) == 0;
}

/* ---- the request line ---- */

static int take_verb(struct head_reader *reader, struct text line, struct err *err)
{
	size_t length = token_length(line.start, line.length);

	if (length == 0 || length == line.length || line.start[length] != ' ')
		return err_set(
			err, ERR_INVALID,
			"the first line is no request line of HTTP/1.1 (GET /path HTTP/1.1)");
	reader->verb = (struct text){ line.start, length };
	reader->head->is_head = length == 4 && strncmp(line.start, "HEAD", 4) == 0;
	return 0;
}

static int take_version(struct head_reader *reader, struct text line, struct err *err)
{
	static const char name[] = "HTTP/";
	const char *blank = memrchr(line.start, ' ', line.length);
	struct text version = { blank + 1, (size_t)(line.start + line.length - blank) - 1 };

	if (version.length < strlen(name) || strncmp(version.start, name, strlen(name)) != 0)
		return err_set(err, ERR_INVALID,
			       "the request line does not end with its version, HTTP/1.1");
	reader->is_1_0 = text_is(version, "HTTP/1.0");
	if (!reader->is_1_0 && !text_is(version, "HTTP/1.1"))
		return err_set(err, ERR_INVALID, "this server speaks HTTP/1.1, not %.*s",
			       (int)version.length, version.start);
	reader->target = (struct text){ reader->verb.start + reader->verb.length + 1, 0 };
	if (blank < reader->target.start)
		return err_set(err, ERR_INVALID, "the request line has no target");
	reader->target.length = (size_t)(blank - reader->target.start);
	return 0;
}

static bool has_prefix(struct text text, const char *prefix)
{
	size_t length = strlen(prefix);

	return text.length > length && strncasecmp(text.start, prefix, length) == 0;
}

/* Takes the scheme and the authority off "http://authority/path?query". */
static void split_target(struct head_reader *reader)
{
	const char *scheme = reader->is_encrypted ? "https://" : "http://";
	struct text *target = &reader->target;
	size_t length = strlen(scheme);

	if (!has_prefix(*target, scheme))
		return;
	reader->authority.start = target->start + length;
	while (length < target->length && !strchr("/?#", target->start[length]))
		length++;
	reader->authority.length = (size_t)(target->start + length - reader->authority.start);
	target->start += length;
	target->length -= length;
}

static int check_target_chars(struct text target, struct err *err)
{
	for (size_t i = 0; i < target.length; i++) {
		unsigned char c = (unsigned char)target.start[i];

		if (c <= ' ' || c == 0x7f)
			return err_set(
				err, ERR_INVALID,
				"the request target has a blank or a control character: these must be percent-encoded");
	}
	return 0;
}

/* evhttp would take what follows "//" for an authority. */
static bool is_path(struct text target)
{
	return target.length > 0 && target.start[0] == '/' &&
	       (target.length == 1 || target.start[1] != '/');
}

static int check_target(const struct head_reader *reader, struct err *err)
{
	struct text target = reader->target;
	bool is_bare = reader->authority.start && (target.length == 0 || target.start[0] != '/');

	if (is_path(target) || is_bare || text_is(target, "*"))
		return 0;
	if (has_prefix(target, "https://"))
		return err_set(err, ERR_MISDIRECTED,
			       "this connection is not encrypted, so it has no https: targets");
	if (has_prefix(target, "http://"))
		return err_set(err, ERR_MISDIRECTED,
			       "this connection is encrypted, so it has no http: targets");
	return err_set(err, ERR_INVALID,
		       "the request target must be a path that starts with one '/'");
}

/* The verbs that paths take, and the one that asks for them. */
static bool is_known_verb(struct text verb)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (verb.length == strlen(known[i]) &&
		    memcmp(verb.start, known[i], verb.length) == 0)
			return true;
	}
	return false;
}

static void pass_text(struct head_reader *reader, struct text text)
{
	buf_add(reader->passed, text.start, text.length);
}

static void pass_field(struct head_reader *reader, struct text name, struct text value)
{
	pass_text(reader, name);
	buf_add_text(reader->passed, ": ");
	pass_text(reader, value);
	buf_add_text(reader->passed, "\r\n");
}

/* The target of CONNECT is an authority, which asks for no path. */
static void pass_request_line(struct head_reader *reader)
{
	struct text target = reader->target;

	if (is_known_verb(reader->verb))
		pass_text(reader, reader->verb);
	else
		buf_add_text(reader->passed, UNKNOWN_VERB);
	buf_add_char(reader->passed, ' ');
	if (text_is(reader->verb, "CONNECT"))
		target = (struct text){ "*", 1 };
	else if (reader->authority.start && (target.length == 0 || target.start[0] != '/'))
		buf_add_char(reader->passed, '/');
	pass_text(reader, target);
	buf_add_text(reader->passed, reader->is_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
}

static int take_request_line(struct head_reader *reader, struct text line, struct err *err)
{
	if (take_verb(reader, line, err) < 0 || take_version(reader, line, err) < 0)
		return -1;
	assert(reader->target.start);
	if (!text_is(reader->verb, "CONNECT")) {
		if (check_target_chars(reader->target, err) < 0)
			return -1;
		split_target(reader);
		if (check_target(reader, err) < 0)
			return -1;
	}
	pass_request_line(reader);
	return 0;
}

/* ---- headers ---- */

int request_field_check(const char *line, size_t length, struct err *err)
{
	size_t name = token_length(line, length);

	if (length > 0 && (line[0] == ' ' || line[0] == '\t'))
		return err_set(err, ERR_INVALID, "a header goes on on a second line");
	if (name == 0 || name == length || line[name] != ':')
		return err_set(
			err, ERR_INVALID,
			"a header has no name, or a character that a name must not have, or no ':' right after its name");
	for (size_t i = name; i < length; i++) {
		if (!is_text_char((unsigned char)line[i]))
			return err_set(err, ERR_INVALID, "the header %.*s has a control character",
				       (int)name, line);
	}
	return 0;
}

static struct text trim(struct text text)
{
	while (text.length > 0 && strchr(" \t", text.start[0])) {
		text.start++;
		text.length--;
	}
	while (text.length > 0 && strchr(" \t", text.start[text.length - 1]))
		text.length--;
	return text;
}

static int take_host(struct head_reader *reader, struct text value, struct err *err)
{
	if (reader->has_host)
		return err_set(err, ERR_INVALID, "the header Host is given twice");
	reader->has_host = true;
	return 0;
}

static int take_length(struct head_reader *reader, struct text value, struct err *err)
{
	uint64_t length = 0;

	if (reader->has_length)
		return err_set(err, ERR_INVALID, "the header Content-Length is given twice");
	reader->has_length = true;
	for (size_t i = 0; i < value.length; i++) {
		unsigned digit = (unsigned)(unsigned char)value.start[i] - '0';

		if (digit > 9)
			value.length = 0;
		else if (__builtin_mul_overflow(length, 10U, &length) ||
			 __builtin_add_overflow(length, digit, &length))
			length = UINT64_MAX;
	}
	if (value.length == 0)
		return err_set(err, ERR_INVALID, "Content-Length must be a decimal number");
	reader->head->length = length;
	return 0;
}

static int take_encoding(struct head_reader *reader, struct text value, struct err *err)
{
	if (reader->is_1_0)
		return err_set(err, ERR_INVALID, "HTTP/1.0 has no Transfer-Encoding");
	if (reader->head->is_chunked || !text_is(value, "chunked"))
		return err_set(err, ERR_INVALID, "Transfer-Encoding may only be chunked, once");
	reader->head->is_chunked = true;
	return 0;
}

static int take_expectation(struct head_reader *reader, struct text value, struct err *err)
{
	if (!text_is(value, "100-continue"))
		return err_set(err, ERR_INVALID, "the header Expect may only be 100-continue");
	reader->head->expects_continue = !reader->is_1_0;
	return 0;
}

static int take_field(struct head_reader *reader, struct text line, struct err *err)
{
	static const struct {
		const char *name;
		int (*take)(struct head_reader *reader, struct text value, struct err *err);
	} fields[] = {
		{ "Host", take_host },
		{ "Content-Length", take_length },
		{ "Transfer-Encoding", take_encoding },
		{ "Expect", take_expectation },
	};
	struct text name, value;

	if (request_field_check(line.start, line.length, err) < 0)
		return -1;
	name = (struct text){ line.start, token_length(line.start, line.length) };
	value = trim((struct text){ line.start + name.length + 1, line.length - name.length - 1 });
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (text_is(name, fields[i].name) && fields[i].take(reader, value, err) < 0)
			return -1;
	}
	if (text_is(name, "Host") && reader->authority.start)
		return 0;
	pass_field(reader, name, value);
	return 0;
}

/* ---- the whole ---- */

static int check_whole(struct head_reader *reader, struct err *err)
{
	const struct request_head *head = reader->head;

	if (head->is_chunked && reader->has_length)
		return err_set(err, ERR_INVALID,
			       "Content-Length and Transfer-Encoding exclude each other");
	if (head->is_head && (head->is_chunked || head->length > 0))
		return err_set(err, ERR_INVALID, "HEAD has no body");
	/* The authority counts, but a client that sends no Host is no client of HTTP/1.1. */
	if (reader->authority.start && !reader->has_host && !reader->is_1_0)
		return err_set(err, ERR_INVALID, "the header Host is missing");
	return 0;
}

static struct text next_line(struct text *rest)
{
	const char *end = memmem(rest->start, rest->length, "\r\n", 2);
	struct text line;

	assert(end);
	line = (struct text){ rest->start, (size_t)(end - rest->start) };
	rest->start = end + 2;
	rest->length -= line.length + 2;
	return line;
}

static int read_head(struct head_reader *reader, struct text text, struct err *err)
{
	if (take_request_line(reader, next_line(&text), err) < 0)
		return -1;
	while (text.length > 0) {
		if (take_field(reader, next_line(&text), err) < 0)
			return -1;
	}
	if (check_whole(reader, err) < 0)
		return -1;
	if (reader->authority.start)
		pass_field(reader, (struct text){ "Host", 4 }, reader->authority);
	buf_add_text(reader->passed, "\r\n");
	return 0;
}

int request_head_check(const char *text, size_t length, bool is_encrypted, struct request_head *out,
		       struct buf *passed, struct err *err)
{
	struct head_reader reader = { .head = out, .is_encrypted = is_encrypted, .passed = passed };

	*out = (struct request_head){ 0 };
	return read_head(&reader, (struct text){ text, length }, err);
}
