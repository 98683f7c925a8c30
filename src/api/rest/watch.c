/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An epoll set of its own, for two reasons. libevent reports an error of a socket, such as a reset,
 * only to events that wait for reading or writing, and such an event would also be woken by the
 * bytes of a next request, without end, since nothing reads them. And libevent does not take
 * edge-triggered and other events for one descriptor: where one follows the other within a turn, it
 * confuses them.
 *
 * The set asks for the end of the client's sending; the kernel adds errors by itself.
 */

#include "api/rest/watch.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/epoll.h>

#define LEFT_MAX 256 /* told in one turn; the others on the next */

struct watch {
	int epoll;
	struct event *event;
	watch_fn left;
};

/* One by one, since the function may remove any item. */
static void on_left(evutil_socket_t fd, short what, void *arg)
{
	const struct watch *watch = arg;
	struct epoll_event event;

	for (int i = 0; i < LEFT_MAX && epoll_wait(fd, &event, 1, 0) > 0; i++)
		watch->left(event.data.ptr, event.events & (EPOLLERR | EPOLLHUP));
}

struct watch *watch_new(struct loop *loop, watch_fn left, struct err *err)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct watch *watch;

	if (epoll < 0) {
		err_set(err, ERR_UNAVAILABLE, "clients cannot be watched: %s", strerror(errno));
		return NULL;
	}
	watch = xnew(struct watch);
	watch->epoll = epoll;
	watch->left = left;
	watch->event = event_new(loop_base(loop), epoll, EV_READ | EV_PERSIST, on_left, watch);
	if (!watch->event || event_add(watch->event, NULL) < 0)
		abort(); /* out of memory */
	return watch;
}

struct watch *watch_free(struct watch *watch)
{
	if (!watch)
		return NULL;
	event_free(watch->event);
	close(watch->epoll);
	free(watch);
	return NULL;
}

void watch_add(struct watch *watch, int fd, void *item)
{
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = item };

	/* A client that is not watched is noticed when its answer is sent. */
	(void)epoll_ctl(watch->epoll, EPOLL_CTL_ADD, fd, &event);
}

void watch_remove(struct watch *watch, int fd)
{
	(void)epoll_ctl(watch->epoll, EPOLL_CTL_DEL, fd, NULL);
}
