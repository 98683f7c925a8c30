/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whose request it is, and how many requests a second each may make. Private to api/rest/.
 */

#include "api/rest/peer.h"

enum rest_owner_kind {
	REST_OWNER_FREE,      /* root and the daemon's own user over a unix socket */
	REST_OWNER_ANONYMOUS, /* all who show no token over TCP, together */
	REST_OWNER_USER,      /* of a unix socket */
	REST_OWNER_TOKEN,
};

#define REST_TOKEN_NAME_SIZE 65
struct rest_owner {
	enum rest_owner_kind kind;
	uid_t user;
	char token[REST_TOKEN_NAME_SIZE];
};

void rest_owner_of_caller(const struct rest_caller *caller, struct rest_owner *out);
bool rest_owner_equals(const struct rest_owner *a, const struct rest_owner *b);
/* A user or a token: it may not take all that callers share. */
static inline bool rest_owner_has_share(const struct rest_owner *owner)
{
	return owner->kind == REST_OWNER_USER || owner->kind == REST_OWNER_TOKEN;
}

struct limits;
struct rest_limits;

/* The numbers are copied. */
struct limits *limits_new(const struct rest_limits *numbers);
void limits_set(struct limits *limits, const struct rest_limits *numbers);
struct limits *limits_free(struct limits *limits); /* returns NULL, takes NULL */
/* One more request; ERR_TOO_MANY: too soon after the others. */
int limits_take(struct limits *limits, const struct rest_owner *owner, struct err *err);
/* How many connections the owner may have at the same time; 0: no limit of its own. */
size_t limits_connections(const struct limits *limits, const struct rest_owner *owner);
