/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An entry for systemd's journal: a datagram of lines NAME=value
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL). No value holds a line end, since log_escape() has seen
 * each.
 *
 * sd_journal_send() would wait if journald does not read, and would hand a large entry over in a
 * file; ours are small, and losing one must not lose the work.
 */

#include "base/log_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define VALUE_MAX 1024
#define FIELDS_MAX 9
/* More than the text of an error, and all other fields. */
#define DATAGRAM_MAX (16384 + 256 + FIELDS_MAX * (VALUE_MAX + 32))

/* systemd tells device and inode of the stream that it has made our stderr: later a shell may have
 * redirected it, or this variable may be another program's. */
bool log_journal_is_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char expected[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(expected, sizeof(expected), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return streq(stream, expected);
}

struct datagram {
	char bytes[DATAGRAM_MAX];
	size_t used;
};

static void put(struct datagram *datagram, const char *name, const char *value, size_t length,
		size_t max)
{
	bool cut;

	if (!value || length == 0)
		return;
	datagram->used += (size_t)snprintf(datagram->bytes + datagram->used,
					   sizeof(datagram->bytes) - datagram->used, "%s=", name);
	datagram->used += log_escape(value, length, datagram->bytes + datagram->used, max, &cut);
	datagram->bytes[datagram->used++] = '\n';
}

static void put_about(struct datagram *datagram, const struct log_about *about)
{
	const struct {
		const char *name, *value;
	} fields[] = {
		{ "MESSAGE_ID", about->message_id },
		{ "OPERATION_ID", about->operation_id },
		{ "OPERATION_TYPE", about->operation_type },
		{ "STEP", about->step },
		{ "VOLUME_ID", about->volume_id },
		{ "VM_ID", about->vm_id },
		{ "DEVICE", about->device },
		{ "ERROR_CODE", about->error_code },
		{ "ACTOR", about->actor },
	};
	_Static_assert(ARRAY_SIZE(fields) <= FIELDS_MAX, "they fit into a datagram");

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		put(datagram, fields[i].name, fields[i].value, strlen(str_or(fields[i].value, "")),
		    VALUE_MAX);
}

int log_journal_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

enum log_taken log_journal_send(int fd, const char *socket_path, const struct log_entry *entry)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct datagram datagram = { .used = 0 };
	const char priority[] = { log_priority(entry->level), '\0' };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	put(&datagram, "SYSLOG_IDENTIFIER", "volume-daemon", strlen("volume-daemon"), VALUE_MAX);
	put(&datagram, "PRIORITY", priority, 1, VALUE_MAX);
	put(&datagram, "MODULE", log_module_names[entry->module],
	    strlen(log_module_names[entry->module]), VALUE_MAX);
	if (entry->about)
		put_about(&datagram, entry->about);
	put(&datagram, "MESSAGE", entry->text, entry->length, entry->length);
	if (sendto(fd, datagram.bytes, datagram.used, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&address, sizeof(address)) >= 0)
		return LOG_TAKEN;
	return errno == EAGAIN || errno == ENOBUFS ? LOG_FULL : LOG_AWAY;
}
