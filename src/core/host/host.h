/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Shared by the files of this directory: activations under way, claims, suspended maps, and disks
 * that the kernel was told to look at. */

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
	TAILQ_HEAD(, disk_rescan) rescans;
	struct notice_listener listener;
};

struct host *host_new(struct env *env, struct model *model);
struct host *host_free(struct host *host); /* returns NULL, takes NULL */
