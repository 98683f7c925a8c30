/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists of one volume that travel together.
 *
 * Every operation looks at its volume before and after, so a thousand operations begun at once
 * would be a thousand lists of one volume each. Lists that are asked for in one turn of the loop,
 * or that have to wait for their turn on the wire, wait together: when the first of them has its
 * turn, one request carries them all (`ids`), and each caller gets its part of the answer, as if
 * its list had been sent alone. No list waits longer for the sake of the others.
 *
 * If CloudStack never knew one of the ids, it refuses the whole request; if it cannot read one of
 * the volumes, it fails. A list that got no certain answer in company is therefore sent again,
 * alone. An administrator may have made pages shorter than the request is long: CloudStack does not
 * cut its answer then, but refuses the request, and later requests carry no more than a page holds.
 */

#include <assert.h>

#include "cloud/cloud_error.h"
#include "cloud/cloud_merge.h"

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

/* Lists of one volume differ in the id alone. */
static void ask_alike(struct cloud_call *carrier, const struct cloud_call *member)
{
	for (size_t i = 0; i < member->param_count; i++) {
		if (member->params[i].value != member->lookup)
			cloud_call_add(carrier, member->params[i].name, member->params[i].value);
	}
}

struct cloud_call *cloud_merge(struct cloud_call *call, struct cloud_call_list *waiting,
			       size_t members_max)
{
	struct cloud_call *carrier = NULL, *other, *next;
	_cleanup_buf_ struct buf ids = BUF_NULL;

	if (!may_join(call) || members_max < 2)
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
		if (carrier->members.count == members_max)
			break;
		cloud_call_unlink(other);
		add_member(carrier, other, &ids);
	}
	if (!carrier)
		return call;
	ask_alike(carrier, call);
	cloud_call_add(carrier, "ids", ids.data);
	/* A page of unknown size could end before the last of them. */
	cloud_call_add(carrier, "page", "1");
	cloud_call_add_int(carrier, "pagesize", (int64_t)carrier->members.count);
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
 * CloudStack refused the request for one of the ids, or CloudStack or a proxy refused it for its
 * length: neither says anything about the other ids.
 */
static bool says_nothing(const struct cloud_reply *reply, int http_status)
{
	if (cloud_err_is_refusal(&reply->result.err))
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
	bool full =
		reply->result.outcome == CLOUD_OK && reply->result.rows >= carrier->members.count;
	struct cloud_call *call, *previous;

	for (call = TAILQ_LAST(&carrier->members.calls, cloud_calls); call; call = previous) {
		previous = TAILQ_PREV(call, cloud_calls, entry);
		if (!all && !(full && !volume_of(reply, call->lookup)))
			continue;
		cloud_call_unlink(call);
		call->alone = true;
		cloud_call_put_first(call, waiting);
	}
}

static void learn_page_size(const struct cloud_call *carrier, const struct err *err,
			    size_t *members_max)
{
	size_t members = carrier->members.count;
	int64_t limit;

	if (!cloud_error_page_size(err, &limit))
		return;
	*members_max = limit > 0 && (size_t)limit < members ? (size_t)limit : members / 2;
}

void cloud_merge_answer(struct cloud_call *carrier, struct cloud_call_list *waiting,
			const struct cloud_reply *reply, int http_status, size_t *members_max)
{
	struct cloud_call *call;

	learn_page_size(carrier, &reply->result.err, members_max);
	send_back(carrier, waiting, reply, says_nothing(reply, http_status));
	/* A done may cancel calls, also other members. */
	while ((call = TAILQ_FIRST(&carrier->members.calls))) {
		struct cloud_result result;

		cloud_result_init(&result);
		result.outcome = reply->result.outcome;
		err_copy(&result.err, &reply->result.err);
		cloud_call_unlink(call);
		result.volumes = volume_of(reply, call->lookup);
		result.count = result.volumes ? 1 : 0;
		result.rows = result.count;
		call->done(call->arg, &result);
		cloud_call_free(call);
	}
}
