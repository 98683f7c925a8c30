/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The mode of the socket's file keeps strangers out already. This check holds if the mode does not:
 * another program may have changed it, and a process can hand its connection to another.
 */

#include "api/rest/peer.h"

#include <errno.h>
#include <sys/socket.h>

#define GROUPS_FIRST 32

static bool has_group(const gid_t *groups, size_t count, gid_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (groups[i] == id)
			return true;
	}
	return false;
}

/* The supplementary groups. */
static bool is_member(int fd, gid_t id)
{
	gid_t few[GROUPS_FIRST];
	_cleanup_free_ gid_t *many = NULL;
	gid_t *groups = few;
	socklen_t size = sizeof(few);
	int r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);

	/* The kernel has put the size that is needed into size. */
	if (r < 0 && errno == ERANGE) {
		many = xmalloc(size);
		groups = many;
		r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	}
	return r == 0 && has_group(groups, size / sizeof(*groups), id);
}

/* False: the socket is TCP, which does not tell. */
static bool find_peer(int fd, struct ucred *out)
{
	socklen_t size = sizeof(*out);
	int domain = AF_UNIX;
	socklen_t domain_size = sizeof(domain);

	*out = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) == 0 && domain != AF_UNIX)
		return false;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, &size); /* else it is no user */
	return true;
}

static bool is_trusted(const struct ucred *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

void rest_peer_find(int fd, struct rest_peer *out)
{
	struct address client, local;
	struct ucred peer;

	*out = (struct rest_peer){ .is_local = find_peer(fd, &peer) };
	out->uid = peer.uid;
	out->gid = peer.gid;
	out->is_trusted = out->is_local && is_trusted(&peer);
	if (out->is_local)
		return;
	if (address_of_peer(fd, &client) == 0)
		address_format(&client, out->address, sizeof(out->address));
	if (address_of_socket(fd, &local) == 0)
		memcpy(out->host, local.host, sizeof(out->host));
}

int rest_peer_check(int fd, const struct rest_peer *peer, const struct rest_group *group,
		    struct err *err)
{
	bool grouped = group->id != (gid_t)-1;

	if (!peer->is_local || peer->is_trusted ||
	    (grouped && (peer->gid == group->id || is_member(fd, group->id))))
		return 0;
	return err_set(
		err, ERR_FORBIDDEN,
		"only root, the daemon's user and members of the group %s may use this socket",
		group->name);
}

void rest_caller_of_peer(const struct rest_peer *peer, struct rest_caller *out)
{
	*out = (struct rest_caller){
		.caller = { .surface = "rest",
			    .has_uid = peer->uid != (uid_t)-1,
			    .uid = peer->uid,
			    .address = *peer->address ? peer->address : NULL },
		.is_local = peer->is_local,
		.is_trusted = peer->is_trusted,
	};
}
