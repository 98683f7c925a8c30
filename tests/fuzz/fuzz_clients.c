/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kernel's tables of sockets, as the search for NBD clients reads them: the first character
 * chooses /proc/net/tcp (4), tcp6 (6) or unix. The kernel is trusted, but file names in its table
 * of unix sockets are words of any user.
 *
 * Each client is a line of the table with the server's port or path, and the names of clients are
 * plain text.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "nbd/clients.h"

static char root[] = "/tmp/fuzz-XXXXXX";
static int folder = -1;

static void remove_root(void)
{
	unlinkat(folder, "tcp", 0);
	unlinkat(folder, "tcp6", 0);
	unlinkat(folder, "unix", 0);
	unlinkat(AT_FDCWD, root, 0);
	close(folder);
	folder = open(root, O_DIRECTORY | O_CLOEXEC);
	unlinkat(folder, "net", AT_REMOVEDIR);
	rmdir(root);
}

static void make_root(void)
{
	_cleanup_free_ char *net = NULL;

	if (folder >= 0)
		return;
	MUST(mkdtemp(root));
	net = xasprintf("%s/net", root);
	MUST(mkdir(net, 0700) == 0);
	folder = open(net, O_DIRECTORY | O_CLOEXEC);
	MUST(folder >= 0 && atexit(remove_root) == 0);
}

static void write_table(const char *name, const uint8_t *data, size_t size)
{
	_cleanup_close_ int file =
		openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(file >= 0 && write(file, data, size) == (ssize_t)size);
}

struct outcome {
	bool told;
	size_t count;
};

static void on_scanned(void *arg, const struct export_client *found, size_t count,
		       const struct err *err)
{
	struct outcome *outcome = arg;

	MUST(!outcome->told && err->code == ERR_NONE && count <= CLIENTS_MAX);
	outcome->told = true;
	outcome->count = count;
	for (size_t i = 0; i < count; i++)
		MUST(found[i].address[0] && str_is_plain_text(found[i].address));
}

static size_t count_lines(const uint8_t *data, size_t size)
{
	size_t lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop *loop;
	static struct clients *clients;
	uint8_t choice = take_byte(&data, &size);
	const char *name = choice == '4' ? "tcp" : choice == '6' ? "tcp6" : "unix";
	const char *server = choice == '4'   ? "127.0.0.1:10809"
			     : choice == '6' ? "[::1]:10809"
					     : "unix:/run/nbd.sock";
	struct outcome outcome = { 0 };
	struct address address;
	struct err err = { 0 };

	make_root();
	if (!clients) {
		loop = loop_new();
		clients = clients_new(loop, root, &err);
	}
	MUST(clients && address_parse(server, &address, &err) == 0);
	write_table(name, data, size);
	clients_scan_start(clients, &address, on_scanned, &outcome);
	while (!outcome.told)
		loop_turn(loop);
	MUST(outcome.count <= count_lines(data, size));
	return 0;
}
