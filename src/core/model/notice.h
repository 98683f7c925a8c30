/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hints from below. A module that learns that something above it may have to act tells a notice,
 * and knows neither which module listens nor what follows.
 *
 * A notice is delivered at once, inside the call that tells it. So a listener only sets a timer,
 * queues a task or starts work whose answer comes on a later turn; it never changes the model.
 * Surfaces never see notices: they get events.
 */

#include "base/queue.h"

struct model;

enum notice_type {
	NOTICE_HOST_UNSURE,    /* a name or an export may not be as it should be */
	NOTICE_DEVICES_UNSURE, /* a mapping may not say what the kernel shows */
	NOTICE_CLOUD_UNSURE,   /* the volumes may not be as CloudStack last said */
	/* the volume's mapping has another disk, or the volume has no mapping any more */
	NOTICE_DISK_CHANGED,
	NOTICE_NAME_DROPPED,       /* the volume is gone for good, and its name with it */
	NOTICE_MAPPINGS_COMMITTED, /* a batch of mappings has been answered by the store */
};

struct notice {
	enum notice_type type;
	const char *volume_id; /* of those about one volume; NULL otherwise */
};

struct notice_listener {
	TAILQ_ENTRY(notice_listener) entry;
	void (*on_notice)(struct notice_listener *listener, const struct notice *notice);
};

void notice_listen(struct model *model, struct notice_listener *listener);
void notice_unlisten(struct model *model, struct notice_listener *listener);
void notice_tell(struct model *model, enum notice_type type);
void notice_tell_volume(struct model *model, enum notice_type type, const char *volume_id);
