/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Memory is counted by hooks of the address sanitizer, and not by limits of the process: an
 * invariant speaks of what one input costs, and names the bound beside the size of the input.
 */

#include "fuzz.h"

#include <errno.h>
#include <sanitizer/allocator_interface.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

void must_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: it does not hold that %s\n", file, line, condition);
	abort();
}

void must_be_sound(const struct err *err)
{
	if (err->code == ERR_NONE)
		return;
	MUST((unsigned)err->code < ERR_CODE_COUNT);
	MUST(err->text[0] && str_is_plain_text(err->text));
	MUST(str_is_plain_text(err->cloud_text));
	MUST(str_is_plain_text(err->field));
}

void must_equal(const char *one, const char *other)
{
	if (streq(one, other) || (!one && !other))
		return;
	fprintf(stderr, "one:   %s\nother: %s\n", str_or(one, "(null)"), str_or(other, "(null)"));
	abort();
}

uint8_t take_byte(const uint8_t **data, size_t *size)
{
	if (*size == 0)
		return 0;
	--*size;
	return *(*data)++;
}

/* ---- memory ---- */

static atomic_long live, peak;

static void on_malloc(const volatile void *block, size_t size)
{
	long now = atomic_fetch_add(&live, (long)size) + (long)size;
	long before = atomic_load(&peak);

	while (now > before && !atomic_compare_exchange_weak(&peak, &before, now))
		;
}

static void on_free(const volatile void *block)
{
	const void *of = (const void *)(uintptr_t)block;

	if (of)
		atomic_fetch_sub(&live, (long)__sanitizer_get_allocated_size(of));
}

void memory_watch(void)
{
	static bool hooked;

	if (!hooked)
		MUST(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
	hooked = true;
	atomic_store(&live, 0);
	atomic_store(&peak, 0);
}

size_t memory_peak(void)
{
	return (size_t)atomic_load(&peak);
}

/* ---- the other end of a connection ---- */

static char folder[] = "/tmp/fuzz-XXXXXX", path[sizeof(folder) + 8];
static int listener = -1;

static void remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

const char *peer_path(void)
{
	if (*path)
		return path;
	MUST(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	MUST(atexit(remove_folder) == 0);
	return path;
}

void peer_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (listener >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer_path());
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
	MUST(listen(listener, 1) == 0);
}

int peer_accept(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	MUST(fd >= 0);
	return fd;
}

void peer_send(int fd, const void *bytes, size_t size)
{
	if (size > 0)
		MUST(send(fd, bytes, size, MSG_NOSIGNAL) >= 0 || errno == EAGAIN || errno == EPIPE);
	shutdown(fd, SHUT_WR);
}

bool peer_receive(int fd, struct buf *out)
{
	char bytes[4096];
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		buf_add(out, bytes, (size_t)got);
	return got < 0 && errno == EAGAIN;
}
