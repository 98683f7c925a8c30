/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Does the NBD server answer new clients? Private to nbd/. */

#include "io/address.h"
#include "nbd/clients.h"
#include "nbd/handshake.h"

#define PULSE_ANSWER_MS 3000

/* Embedded in the engine. */
struct pulse {
	struct loop *loop;
	struct handshake *handshake; /* NULL: no look is under way */
	struct clients *clients;     /* of that look */
	int port;                    /* our own, 0: none */
	int64_t asked_ms;            /* clock_waking_ms(), 0: never */
	struct loop_timer deadline;
	struct err err; /* why there was no answer to the last look; ERR_NONE: there was one */
};

void pulse_init(struct pulse *pulse, struct loop *loop);
/* Looks again, unless a look is under way or the last one has just begun. clients outlives it. */
void pulse_look(struct pulse *pulse, const struct address *server, struct clients *clients);
/* Gives up a look under way; the finding of the last one stays. */
void pulse_stop(struct pulse *pulse);
/* Another server, or none: forgets the finding, too. */
void pulse_reset(struct pulse *pulse);
