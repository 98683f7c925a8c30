/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kernel's uevents, over a raw netlink socket.
 *
 * The kernel itself sends to group 1; group 2, which libudev reads, is only re-sent by udevd and
 * silent without it. A message is "add@/devices/…" followed by zero-terminated KEY=VALUE texts. Any
 * program with the right capability can send to the group, so only messages from the kernel (port
 * 0, uid 0) count; and they mean no more than "look again". If messages were lost because we were
 * slow (ENOBUFS), a lost message may have been about a disk: look again, too.
 */

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "disk/uevent.h"

#define KERNEL_GROUP 1
#define MESSAGE_MAX 8192 /* the kernel's own limit is 2 KiB of variables */
#define DRAIN_MAX 64     /* messages per turn, so that a flood cannot starve the loop */

struct uevent {
	struct event *event;
	int fd;
	void (*on_block)(void *arg);
	void *arg;
};

/* True if one of the texts is SUBSYSTEM=block. The bytes are zero-terminated. */
static bool is_block(const char *bytes, size_t length)
{
	for (size_t at = 0; at < length; at += strlen(bytes + at) + 1) {
		if (streq(bytes + at, "SUBSYSTEM=block"))
			return true;
	}
	return false;
}

static bool is_from_kernel(struct msghdr *message)
{
	const struct sockaddr_nl *sender = message->msg_name;

	if (message->msg_namelen < sizeof(*sender) || sender->nl_family != AF_NETLINK ||
	    sender->nl_pid != 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.uid == 0;
	}
	return false;
}

enum received { RECEIVED_NOTHING, RECEIVED_OTHER, RECEIVED_BLOCK };

static enum received receive_one(int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char bytes[MESSAGE_MAX + 1];
	struct sockaddr_nl sender = { 0 };
	struct iovec part = { .iov_base = bytes, .iov_len = MESSAGE_MAX };
	struct msghdr message = {
		.msg_name = &sender,
		.msg_namelen = sizeof(sender),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (length < 0)
		return errno == ENOBUFS ? RECEIVED_BLOCK : RECEIVED_NOTHING;
	bytes[length] = '\0';
	return is_from_kernel(&message) && is_block(bytes, (size_t)length) ? RECEIVED_BLOCK
									   : RECEIVED_OTHER;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct uevent *uevent = arg;
	bool block = false;

	for (int i = 0; i < DRAIN_MAX; i++) {
		enum received received = receive_one(fd);

		if (received == RECEIVED_NOTHING)
			break;
		block |= received == RECEIVED_BLOCK;
	}
	if (block)
		uevent->on_block(uevent->arg); /* may close us */
}

static int open_socket(struct err *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, ERR_UNAVAILABLE, "kernel events cannot be listened to: %s",
			       strerror(errno));
	return TAKE_FD(fd);
}

struct uevent *uevent_open(struct loop *loop, void (*on_block)(void *arg), void *arg,
			   struct err *err)
{
	struct uevent *uevent;
	int fd;

	assert(loop && on_block);
	fd = open_socket(err);
	if (fd < 0)
		return NULL;
	uevent = xnew(struct uevent);
	uevent->fd = fd;
	uevent->on_block = on_block;
	uevent->arg = arg;
	uevent->event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, uevent);
	if (!uevent->event || event_add(uevent->event, NULL) < 0)
		abort();
	return uevent;
}

struct uevent *uevent_close(struct uevent *uevent)
{
	if (!uevent)
		return NULL;
	event_free(uevent->event);
	close(uevent->fd);
	free(uevent);
	return NULL;
}
