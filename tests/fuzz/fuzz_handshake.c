/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The NBD handshake. The input is all that the server ever says, and then it closes the connection.
 * If the first character is T, the client wants TLS; if it is G, the client leaves after the
 * greeting.
 *
 * The result is told once. A size is told only for an answer that holds it, and never without TLS
 * if TLS was wanted. The client says little, whatever the server says.
 */

#include <endian.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "nbd/handshake.h"

#define TURNS_MAX 1000
#define SAID_MAX 4096 /* by the client; of it the greeting of TLS is the largest part */

struct outcome {
	unsigned told;
	uint64_t size;
	struct err err;
};

static void on_done(void *arg, uint64_t size, const struct err *err)
{
	struct outcome *outcome = arg;

	MUST(++outcome->told == 1);
	outcome->size = size;
	outcome->err = *err;
}

static void check(const struct outcome *outcome, uint8_t choice, const uint8_t *data, size_t size)
{
	uint64_t told = htobe64(outcome->size);

	must_be_sound(&outcome->err);
	if (outcome->err.code != ERR_NONE)
		return;
	MUST(choice != 'T');
	if (choice == 'G') {
		MUST(outcome->size == 0);
		return;
	}
	MUST(memmem(data, size, &told, sizeof(told)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static SSL_CTX *tls;
	static struct loop *loop;
	uint8_t choice = take_byte(&data, &size);
	_cleanup_free_ char *text = xasprintf("unix:%s", peer_path());
	_cleanup_buf_ struct buf said = BUF_NULL;
	struct outcome outcome = { 0 };
	_cleanup_close_ int peer = -1;
	struct address address;

	if (!loop) {
		clock_test_start(1000, 1000);
		loop = loop_new();
		tls = SSL_CTX_new(TLS_client_method());
	}
	peer_listen();
	MUST(address_parse(text, &address, &outcome.err) == 0);
	handshake_start(loop, &address, choice == 'T' ? tls : NULL, choice == 'G' ? NULL : "data",
			on_done, &outcome);
	peer = peer_accept();
	peer_send(peer, data, size);
	for (int turn = 0; !outcome.told; turn++) {
		MUST(turn < TURNS_MAX);
		loop_turn(loop);
	}
	peer_receive(peer, &said);
	MUST(said.length <= SAID_MAX);
	check(&outcome, choice, data, size);
	return 0;
}
