/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists of one volume that travel together.
 *
 * Every operation looks at its volume before and after, so a thousand operations begun at once
 * would be a thousand lists of one volume each. Lists that have to wait for their turn anyway wait
 * together: when the first of them has its turn, one request carries them all (`ids`), and each
 * caller gets its part of the answer, as if its list had been sent alone. No list waits longer for
 * the sake of the others.
 *
 * If CloudStack never knew one of the ids, it refuses the whole request, and an administrator may
 * have made pages shorter than the request is long. A list that got no certain answer in company is
 * therefore sent again, alone.
 */

#include <assert.h>

#include "cloud/cloud_error.h"
#include "cloud/cloud_merge.h"

/* 39 characters each in a URL, in all half of the 8 KiB that servers and proxies take. */
#define MEMBERS_MAX 100

static bool may_join(const struct cloud_call *call)
{
	return call->lookup && !call->alone;
}

static void add_member(struct cloud_call *carrier, struct cloud_call *call, struct buf *ids)
{
	if (carrier->members.count > 0)
		buf_add_char(ids, ',');
	buf_add_text(ids, call->lookup);
	call->carrier = carrier;
	cloud_call_put_last(call, &carrier->members);
}

struct cloud_call *cloud_merge(struct cloud_call *call, struct cloud_call_list *waiting)
{
	struct cloud_call *carrier = NULL, *other, *next;
	_cleanup_buf_ struct buf ids = BUF_NULL;

	if (!may_join(call))
		return call;
	for (other = TAILQ_FIRST(&waiting->calls); other; other = next) {
		next = TAILQ_NEXT(other, entry);
		if (!may_join(other))
			continue;
		if (!carrier) {
			carrier =
				cloud_call_new(call->queue, CLOUD_COMMAND_LIST_VOLUMES, NULL, NULL);
			add_member(carrier, call, &ids);
		}
		if (carrier->members.count == MEMBERS_MAX)
			break;
		cloud_call_unlink(other);
		add_member(carrier, other, &ids);
	}
	if (!carrier)
		return call;
	cloud_call_add(carrier, "listall", "true");
	cloud_call_add(carrier, "ids", ids.data);
	return carrier;
}

static const struct cloud_volume *volume_of(const struct cloud_reply *reply, const char *id)
{
	for (size_t i = 0; i < reply->count; i++) {
		if (strcasecmp(reply->volumes[i].id, id) == 0)
			return &reply->volumes[i];
	}
	return NULL;
}

/*
 * The request was refused for one of the ids, or by a proxy for its length: neither says anything
 * about the other ids.
 */
static bool says_nothing(const struct cloud_reply *reply, int http_status)
{
	if (reply->result.outcome == CLOUD_REFUSED)
		return true;
	return reply->result.outcome == CLOUD_AWAY && !reply->answered && http_status >= 400 &&
	       http_status < 500 && http_status != CLOUD_CODE_UNAUTHORIZED &&
	       http_status != CLOUD_CODE_LIMIT;
}

/*
 * Members of this carrier without a certain answer go back, in their order, before calls that came
 * later.
 */
static void send_back(struct cloud_call *carrier, struct cloud_call_list *waiting,
		      const struct cloud_reply *reply, bool all)
{
	bool cut = reply->result.outcome == CLOUD_OK && reply->result.total > (int64_t)reply->count;
	struct cloud_call *call, *previous;

	for (call = TAILQ_LAST(&carrier->members.calls, cloud_calls); call; call = previous) {
		previous = TAILQ_PREV(call, cloud_calls, entry);
		if (!all && !(cut && !volume_of(reply, call->lookup)))
			continue;
		cloud_call_unlink(call);
		call->alone = true;
		cloud_call_put_first(call, waiting);
	}
}

void cloud_merge_answer(struct cloud_call *carrier, struct cloud_call_list *waiting,
			const struct cloud_reply *reply, int http_status)
{
	struct cloud_call *call;

	send_back(carrier, waiting, reply, says_nothing(reply, http_status));
	/* A done may cancel calls, also other members. */
	while ((call = TAILQ_FIRST(&carrier->members.calls))) {
		struct cloud_result result = { .outcome = reply->result.outcome,
					       .err = reply->result.err };

		cloud_call_unlink(call);
		result.volumes = volume_of(reply, call->lookup);
		result.count = result.volumes ? 1 : 0;
		result.total = (int64_t)result.count;
		call->done(call->arg, &result);
		cloud_call_free(call);
	}
}
