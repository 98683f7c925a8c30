/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys in pages of their own: whole pages, because the kernel leaves only whole pages out of a core
 * dump, and never on the heap, because a freed heap block keeps its bytes. The file is read
 * straight into those pages, so no copy is left in a stdio or heap buffer. A key that others may
 * read is refused rather than warned about: a warning goes unread.
 *
 * systemd hands over credentials (LoadCredential=) as files of root with mode 0400 or, when the
 * service has its own user, 0440 with an access list behind the group bits. Those are as private as
 * systemd makes them and are accepted.
 */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SECRET_MAX 4096

struct secret {
	char *bytes; /* room bytes of private pages; zero-terminated */
	size_t length;
	size_t room;
};

static struct secret *secret_make(size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct secret *secret = xnew(struct secret);

	secret->room = (length / page + 1) * page;
	secret->bytes = mmap(NULL, secret->room, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret->bytes == MAP_FAILED)
		abort();
	/* Both calls may fail: an unusual limit must not keep the daemon from starting. */
	(void)madvise(secret->bytes, secret->room, MADV_DONTDUMP);
	(void)mlock(secret->bytes, secret->room);
	secret->length = length;
	return secret;
}

struct secret *secret_new(const char *bytes, size_t length)
{
	struct secret *secret = secret_make(length);

	memcpy(secret->bytes, bytes, length);
	return secret;
}

struct secret *secret_free(struct secret *secret)
{
	if (!secret)
		return NULL;
	explicit_bzero(secret->bytes, secret->room);
	munmap(secret->bytes, secret->room);
	free(secret);
	return NULL;
}

static void secret_freep(struct secret **secret)
{
	secret_free(*secret);
}

const char *secret_bytes(const struct secret *secret)
{
	return secret->bytes;
}

size_t secret_length(const struct secret *secret)
{
	return secret->length;
}

static bool is_systemd_credential(const char *path)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");

	return !str_empty(folder) && str_has_prefix(path, folder) && path[strlen(folder)] == '/' &&
	       !strstr(path, "/../");
}

static int check_file(const char *path, const struct stat *st, struct err *err)
{
	unsigned mode = st->st_mode & 07777;

	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(
			err, ERR_INVALID,
			"%s belongs to another user (uid %u); it must belong to root or the daemon's user",
			path, st->st_uid);
	if ((mode & 077) == 040 && st->st_uid == 0 && is_systemd_credential(path))
		return 0;
	if (mode & 077)
		return err_set(
			err, ERR_INVALID,
			"%s may be used by others (mode %04o); make it private with: chmod 600 %s",
			path, mode, path);
	return 0;
}

int secret_check_file(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
	return check_file(path, &st, err);
}

static int read_all(int fd, struct secret *secret)
{
	secret->length = 0;
	while (secret->length < secret->room - 1) {
		ssize_t got =
			read(fd, secret->bytes + secret->length, secret->room - 1 - secret->length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		secret->length += (size_t)got;
	}
	return 0;
}

/* Ends the secret at its first line end and wipes the rest. */
static void keep_first_line(struct secret *secret)
{
	const char *end = memchr(secret->bytes, '\n', secret->length);

	if (end)
		secret->length = (size_t)(end - secret->bytes);
	if (secret->length > 0 && secret->bytes[secret->length - 1] == '\r')
		secret->length--;
	explicit_bzero(secret->bytes + secret->length, secret->room - secret->length);
}

/* Moves the part of the secret to its start and wipes the rest. */
static void keep_part(struct secret *secret, const char *part, size_t length)
{
	memmove(secret->bytes, part, length);
	secret->length = length;
	explicit_bzero(secret->bytes + length, secret->room - length);
}

static int check_key(const struct secret *key, const char *place, struct err *err)
{
	for (size_t i = 0; i < key->length; i++) {
		unsigned char letter = (unsigned char)key->bytes[i];

		if (letter <= ' ' || letter >= 0x7f)
			return err_set(
				err, ERR_INVALID,
				"%s: character %zu of the key is %s, and keys have none: copy the key anew",
				place, i + 1,
				letter == ' ' || letter == '\t'
					? "a blank"
					: "no letter, digit or sign of ASCII");
	}
	return 0;
}

/* Blanks come along when a key is copied from a web page or an editor, and nobody sees them. */
static int clean(struct secret *secret, enum secret_kind kind, const char *place, struct err *err)
{
	size_t length = secret->length;
	const char *part = utf8_trim(secret->bytes, &length);

	if (length == 0)
		return err_set(err, ERR_INVALID, "%s: there is no secret: the line is empty",
			       place);
	if (kind == SECRET_PASSWORD && length != secret->length)
		return err_set(
			err, ERR_INVALID,
			"%s: the password has a blank at its %s, perhaps one that no editor shows; remove "
			"it, or change the password if the blank belongs to it",
			place, part == secret->bytes ? "end" : "beginning");
	keep_part(secret, part, length);
	return kind == SECRET_KEY ? check_key(secret, place, err) : 0;
}

struct secret *secret_new_key(const char *text, const char *place, struct err *err)
{
	struct secret *key = secret_new(text, strlen(text));

	if (clean(key, SECRET_KEY, place, err) < 0)
		return secret_free(key);
	return key;
}

struct secret *secret_read(const char *path, enum secret_kind kind, struct err *err)
{
	static const char mark[] = "\xef\xbb\xbf";
	_cleanup_free_ char *place = xasprintf("%s:1", path);

	/* O_NONBLOCK: a FIFO put in the key's place must not hang the start. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_(secret_freep) struct secret *secret = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set(err, ERR_INVALID, "cannot read the secret in %s: %s", path,
			strerror(errno));
		return NULL;
	}
	if (check_file(path, &st, err) < 0)
		return NULL;
	if (st.st_size > SECRET_MAX) {
		err_set(err, ERR_INVALID, "%s is too long for a secret: %lld bytes, at most %d",
			path, (long long)st.st_size, SECRET_MAX);
		return NULL;
	}
	secret = secret_make(SECRET_MAX);
	if (read_all(fd, secret) < 0) {
		err_set(err, ERR_INVALID, "cannot read the secret in %s: %s", path,
			strerror(errno));
		return NULL;
	}
	keep_first_line(secret);
	if (str_has_prefix(secret->bytes, mark))
		keep_part(secret, secret->bytes + strlen(mark), secret->length - strlen(mark));
	if (clean(secret, kind, place, err) < 0)
		return NULL;
	return TAKE_PTR(secret);
}

bool secret_equals(const struct secret *a, const struct secret *b)
{
	if (!a || !b)
		return a == b;
	return secret_length(a) == secret_length(b) &&
	       memcmp(secret_bytes(a), secret_bytes(b), secret_length(a)) == 0;
}
