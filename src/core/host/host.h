/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of this directory: activations under way, claims, and suspended maps. */

#include "base/queue.h"
#include "core/model/notice.h"

struct env;
struct model;

struct host {
	struct env *env;
	struct model *model;
	TAILQ_HEAD(, activation) activations;
	TAILQ_HEAD(, activation_claim) claims;
	struct suspended *suspended;
	struct notice_listener listener;
};

struct host *host_new(struct env *env, struct model *model);
struct host *host_free(struct host *host); /* returns NULL, takes NULL */
