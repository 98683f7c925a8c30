/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * QMP. The input is all that QEMU ever says, and then it hangs up. The client asks one question
 * after another as soon as it may; its ids are the same in each run, so that a seed holds the ids
 * of answers. The bits of the first character say at which callback the client closes the
 * connection instead (see enum closing).
 *
 * Nothing is told before the greeting, no answer comes without a question, the end is told once,
 * and nothing after it.
 */

#include <unistd.h>

#include "base/uuid.h"
#include "fuzz.h"
#include "nbd/qmp.h"

#define TURNS_MAX 1000
#define QUESTIONS_MAX 3

enum closing { CLOSES_WHEN_READY = 1, CLOSES_AT_EVENT = 2, CLOSES_AT_REPLY = 4 };

struct client {
	struct qmp *qmp;
	unsigned closing;
	unsigned asked, answered, readied, ended;
};

void __wrap_uuid_make_v4(char out[UUID_TEXT_SIZE]);
void __wrap_uuid_make_v4(char out[UUID_TEXT_SIZE])
{
	memcpy(out, "00000000-0000-4000-8000-000000000000", UUID_TEXT_SIZE);
}

static void close_if(struct client *client, enum closing when)
{
	if (client->closing & when)
		client->qmp = qmp_close(client->qmp);
}

static void ask(struct client *client);

static void on_reply(void *arg, const struct json *result, const struct err *err)
{
	struct client *client = arg;

	MUST(client->qmp && !client->ended && ++client->answered == client->asked);
	MUST(!result == (err->code != ERR_NONE));
	must_be_sound(err);
	close_if(client, CLOSES_AT_REPLY);
	ask(client);
}

static void ask(struct client *client)
{
	if (!client->qmp || client->asked == QUESTIONS_MAX)
		return;
	client->asked++;
	qmp_send(client->qmp, "query-block-exports", NULL, on_reply, client);
	MUST(qmp_is_busy(client->qmp));
}

static void on_ready(void *arg)
{
	struct client *client = arg;

	MUST(client->qmp && !client->ended && ++client->readied == 1);
	close_if(client, CLOSES_WHEN_READY);
	ask(client);
}

static void on_event(void *arg, const char *name, const struct json *data)
{
	struct client *client = arg;

	MUST(client->qmp && !client->ended && name);
	close_if(client, CLOSES_AT_EVENT);
}

static void on_closed(void *arg, const struct err *err)
{
	struct client *client = arg;

	MUST(client->qmp && ++client->ended == 1);
	MUST(err->code == ERR_UNAVAILABLE);
	must_be_sound(err);
	client->qmp = qmp_close(client->qmp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct qmp_handler handler = { .ready = on_ready,
						    .event = on_event,
						    .closed = on_closed };
	static struct loop *loop;
	struct client client = { .closing = take_byte(&data, &size) };
	struct err err = { 0 };
	_cleanup_close_ int peer = -1;

	if (!loop)
		loop = loop_new();
	peer_listen();
	client.qmp = qmp_open(loop, peer_path(), &handler, &client, &err);
	must_equal(err.text, "");
	peer = peer_accept();
	peer_send(peer, data, size);
	for (int turn = 0; client.qmp; turn++) {
		MUST(turn < TURNS_MAX);
		loop_turn(loop);
	}
	return 0;
}
