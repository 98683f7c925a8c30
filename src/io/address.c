/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Addresses of servers. Only numeric addresses are taken. A name would have to be looked up, and
 * the lookup blocks; the same name may also mean another machine tomorrow.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "io/address.h"

#define UNIX_PREFIX "unix:"

static int parse_unix(const char *path, struct address *out, struct err *err)
{
	struct sockaddr_un *local = &out->sa.local;

	if (path[0] != '/' || strlen(path) >= sizeof(local->sun_path))
		return err_set(
			err, ERR_INVALID,
			"\"unix:%s\" must hold an absolute path of at most %zu bytes, such as "
			"unix:/run/volume-daemon/nbd.sock",
			path, sizeof(local->sun_path) - 1);
	local->sun_family = AF_UNIX;
	memcpy(local->sun_path, path, strlen(path) + 1);
	out->length = sizeof(*local);
	return 0;
}

/* Splits "[::1]:10809" or "127.0.0.1:10809" into host and port. */
static int split(const char *text, char *host, size_t size, uint64_t *out_port)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	if (!colon || parse_u64(colon + 1, out_port) < 0 || *out_port > 65535)
		return -1;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= size)
		return -1;
	memcpy(host, text, length);
	host[length] = '\0';
	return 0;
}

bool address_all_unix(const char *text)
{
	_cleanup_free_ char *words = xstrdup(text);
	char *rest = NULL, *word = strtok_r(words, ADDRESS_SEPARATORS, &rest);

	if (!word)
		return false;
	while (word && str_has_prefix(word, "unix:"))
		word = strtok_r(NULL, ADDRESS_SEPARATORS, &rest);
	return !word;
}

int address_parse(const char *text, struct address *out, struct err *err)
{
	uint64_t port;

	assert(text);
	memset(out, 0, sizeof(*out));
	if (str_has_prefix(text, UNIX_PREFIX))
		return parse_unix(text + strlen(UNIX_PREFIX), out, err);
	if (split(text, out->host, sizeof(out->host), &port) < 0)
		return err_set(
			err, ERR_INVALID,
			"\"%s\" must be a numeric address and a port, such as 127.0.0.1:10809 or [::1]:10809, or "
			"unix: and a path",
			text);
	if (inet_pton(AF_INET, out->host, &out->sa.v4.sin_addr) == 1) {
		out->sa.v4.sin_family = AF_INET;
		out->length = sizeof(out->sa.v4);
	} else if (inet_pton(AF_INET6, out->host, &out->sa.v6.sin6_addr) == 1) {
		out->sa.v6.sin6_family = AF_INET6;
		out->length = sizeof(out->sa.v6);
	} else {
		return err_set(err, ERR_INVALID,
			       "\"%s\" is not a numeric address; names are not looked up here",
			       out->host);
	}
	address_set_port(out, (int)port);
	return 0;
}

/* A name that is no path has no file, and fills sun_path from its second byte on. */
static bool has_path(const struct sockaddr_un *local)
{
	return local->sun_path[0] && !local->sun_path[sizeof(local->sun_path) - 1];
}

/* Fills in the members beside the address itself. */
static int describe(struct address *out)
{
	if (out->sa.any.sa_family == AF_UNIX)
		return has_path(&out->sa.local) ? 0 : -1;
	if (out->sa.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &out->sa.v4.sin_addr, out->host, sizeof(out->host));
		out->port = ntohs(out->sa.v4.sin_port);
		return 0;
	}
	if (out->sa.any.sa_family != AF_INET6)
		return -1;
	inet_ntop(AF_INET6, &out->sa.v6.sin6_addr, out->host, sizeof(out->host));
	out->port = ntohs(out->sa.v6.sin6_port);
	return 0;
}

int address_of_socket(int fd, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->length = sizeof(out->sa);
	return getsockname(fd, &out->sa.any, &out->length) < 0 ? -1 : describe(out);
}

int address_of_peer(int fd, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->length = sizeof(out->sa);
	return getpeername(fd, &out->sa.any, &out->length) < 0 ? -1 : describe(out);
}

bool address_equals(const struct address *one, const struct address *other)
{
	if (one->sa.any.sa_family != other->sa.any.sa_family)
		return false;
	if (address_is_unix(one))
		return streq(one->sa.local.sun_path, other->sa.local.sun_path);
	return one->port == other->port && streq(one->host, other->host);
}

bool address_is_local(const struct address *address)
{
	const struct sockaddr_in *v4 = &address->sa.v4;

	if (address->sa.any.sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address_is_unix(address) || IN6_IS_ADDR_LOOPBACK(&address->sa.v6.sin6_addr);
}

void address_set_port(struct address *address, int port)
{
	address->port = port;
	if (address->sa.any.sa_family == AF_INET)
		address->sa.v4.sin_port = htons((uint16_t)port);
	else
		address->sa.v6.sin6_port = htons((uint16_t)port);
}

int address_free_port(const struct address *address, int *out, struct err *err)
{
	struct address bound = *address;
	_cleanup_close_ int fd = socket(bound.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = bound.length;
	int on = 1;

	address_set_port(&bound, 0);
	/* As servers bind: a port held for a minute by an ended connection counts as free. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, &bound.sa.any, bound.length) < 0 ||
	    getsockname(fd, &bound.sa.any, &length) < 0)
		return err_set(err, ERR_UNAVAILABLE, "%s has no free port: %s", address->host,
			       strerror(errno));
	*out = ntohs(bound.sa.any.sa_family == AF_INET ? bound.sa.v4.sin_port
						       : bound.sa.v6.sin6_port);
	return 0;
}

bool address_is_taken(const struct address *address)
{
	_cleanup_close_ int fd = -1;
	int on = 1;

	if (address_is_unix(address) || address->port == 0)
		return false;
	fd = socket(address->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	       bind(fd, &address->sa.any, address->length) < 0 && errno == EADDRINUSE;
}

void address_format(const struct address *address, char *out, size_t size)
{
	if (address_is_unix(address))
		snprintf(out, size, UNIX_PREFIX "%s", address->sa.local.sun_path);
	else if (address->sa.any.sa_family == AF_INET6)
		snprintf(out, size, "[%s]:%d", address->host, address->port);
	else
		snprintf(out, size, "%s:%d", address->host, address->port);
}

/* ---- unix sockets ---- */

/* A file of a member of the group has it already, and its owner needs no privilege then. */
static int set_group(const char *path, gid_t group)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return -1;
	return st.st_gid == group ? 0 : lchown(path, (uid_t)-1, group);
}

int address_share_unix(const struct address *address, gid_t group)
{
	const char *path = address->sa.local.sun_path;

	if (group == (gid_t)-1)
		return chmod(path, 0600);
	return set_group(path, group) < 0 ? -1 : chmod(path, 0660);
}

/* Does a program listen there? 0: no. -1 and errno: it does, or that cannot be known. */
static int check_silence(const struct address *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, &address->sa.any, address->length) == 0 || errno == EAGAIN)
		errno = EADDRINUSE;
	return errno == ECONNREFUSED ? 0 : -1;
}

/* Takes away the socket of a program that does not listen any more. */
static int clear_path(const struct address *address)
{
	const char *path = address->sa.local.sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	return check_silence(address) < 0 ? -1 : unlink(path);
}

/*
 * A socket is silent between bind() and listen(), and another daemon that starts would take it for
 * one that is left over. So one daemon at a time works on a path: the one that holds the lock of
 * the file beside it. -1 and errno; EADDRINUSE: another daemon does.
 */
static int lock_path(const char *lock)
{
	_cleanup_close_ int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat locked, there;

	if (fd < 0)
		return -1;
	/* The holder removes the file, so the lock of a removed file says nothing. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &locked) == 0 &&
	    lstat(lock, &there) == 0 && locked.st_dev == there.st_dev &&
	    locked.st_ino == there.st_ino)
		return TAKE_FD(fd);
	errno = EADDRINUSE;
	return -1;
}

static int listen_locked(const struct address *address, gid_t group, struct address_file *out)
{
	const char *path = address->sa.local.sun_path;
	_cleanup_close_ int fd = -1;
	struct stat st;
	int error;

	if (clear_path(address) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The file gets the mode of the socket, so there is no moment at which others may connect.
	 */
	if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, &address->sa.any, address->length) < 0)
		return -1;
	if (address_share_unix(address, group) == 0 && listen(fd, SOMAXCONN) == 0 &&
	    lstat(path, &st) == 0) {
		*out = (struct address_file){ .device = st.st_dev, .inode = st.st_ino };
		return TAKE_FD(fd);
	}
	error = errno;
	unlink(path);
	errno = error;
	return -1;
}

int address_listen_unix(const struct address *address, gid_t group, struct address_file *out)
{
	_cleanup_free_ char *lock = xasprintf("%s.lock", address->sa.local.sun_path);
	_cleanup_close_ int locked = lock_path(lock);
	int fd, error;

	if (locked < 0)
		return -1;
	fd = listen_locked(address, group, out);
	error = errno;
	unlink(lock);
	errno = error;
	return fd;
}

void address_unlink_unix(const struct address *address, const struct address_file *file)
{
	const char *path = address->sa.local.sun_path;
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode)
		unlink(path);
}
