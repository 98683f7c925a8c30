/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Commands go down as calls, knowledge comes up as events and notices. An event tells a surface of
 * a change that is true and durable; a notice tells core itself of knowledge that may have become
 * untrue.
 */

#include "core/model/notice.h"

#include "core/model/model.h"

void notice_listen(struct model *model, struct notice_listener *listener)
{
	TAILQ_INSERT_TAIL(&model->notice_listeners, listener, entry);
}

void notice_unlisten(struct model *model, struct notice_listener *listener)
{
	TAILQ_REMOVE(&model->notice_listeners, listener, entry);
}

void notice_tell_volume(struct model *model, enum notice_type type, const char *volume_id)
{
	const struct notice notice = { .type = type, .volume_id = volume_id };
	struct notice_listener *listener;

	TAILQ_FOREACH(listener, &model->notice_listeners, entry)
		listener->on_notice(listener, &notice);
}

void notice_tell(struct model *model, enum notice_type type)
{
	notice_tell_volume(model, type, NULL);
}
