/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Parts of all fuzzers. libFuzzer calls LLVMFuzzerTestOneInput() with one input after another; an
 * input that breaks an invariant ends the program, and libFuzzer keeps the input.
 *
 * The first bytes of most inputs choose between variants, so that one program covers them all; the
 * file of each fuzzer says how. A seed stays readable, since the choice is made by printable
 * characters.
 */

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program if the condition does not hold; unlike assert() in every build. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			must_fail(__FILE__, __LINE__, #condition);                                 \
	} while (0)
void must_fail(const char *file, int line, const char *condition) __attribute__((noreturn));
/* The error is empty, or complete, and a surface can send it: its texts are plain. */
void must_be_sound(const struct err *err);
/* Both are NULL, or equal; else the program shows them and ends. */
void must_equal(const char *one, const char *other);

/* The next byte of an input, which it loses; 0 at its end. */
uint8_t take_byte(const uint8_t **data, size_t *size);

/* Counts from now on what the program has allocated and not freed. */
void memory_watch(void);
/* The most of it at any time since then, in bytes. */
size_t memory_peak(void);

/* ---- the other end of a connection ---- */

/* A unix socket at a path of its own, in a folder that goes with the program. */
const char *peer_path(void);
/* Listens there, once. */
void peer_listen(void);
/* The connection that the code under test has begun; never waits. */
int peer_accept(void);
/* Sends the bytes, as many as the socket takes, and nothing after them. */
void peer_send(int fd, const void *bytes, size_t size);
/* Appends what has come. False: the other end is closed. */
bool peer_receive(int fd, struct buf *out);
