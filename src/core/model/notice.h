/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Hints from below. A module sends a notice if a module above it may have to act; the sender knows
 * neither which module listens nor what follows.
 *
 * A notice is delivered at once, inside the call that sends it. So a listener only sets a timer,
 * queues a task or starts work whose answer comes on a later turn; it never changes the model.
 * Surfaces never see notices: they get events.
 */

#include "base/queue.h"

struct model;

enum notice_type {
	NOTICE_HOST_UNSURE,    /* a name or an export may not be as desired */
	NOTICE_DEVICES_UNSURE, /* a mapping may disagree with the kernel */
	NOTICE_CLOUD_UNSURE,   /* the volumes may differ from CloudStack's last list */
	/* something new is known of the volume: by CloudStack, a mapping, an operation, … */
	NOTICE_VOLUME_CHANGED,
	/* the volume's mapping has another disk, or the volume has no mapping any more */
	NOTICE_DISK_CHANGED,
	NOTICE_NAME_DROPPED,       /* the volume is gone for good, and its name with it */
	NOTICE_MAPPINGS_COMMITTED, /* the store has answered a batch of mappings */
	NOTICE_EXPORT_PENDING,     /* an export is desired and not served yet */
	NOTICE_APPLIANCE_WRONG,    /* this machine is another VM than the configuration says */
};

struct notice {
	enum notice_type type;
	const char *volume_id; /* for notices about one volume; NULL otherwise */
};

struct notice_listener {
	TAILQ_ENTRY(notice_listener) entry;
	void (*on_notice)(struct notice_listener *listener, const struct notice *notice);
};

void notice_listen(struct model *model, struct notice_listener *listener);
void notice_unlisten(struct model *model, struct notice_listener *listener);
void notice_tell(struct model *model, enum notice_type type);
void notice_tell_volume(struct model *model, enum notice_type type, const char *volume_id);
