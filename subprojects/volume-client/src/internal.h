/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "volume-client.h"

struct volume_client {
	sd_bus *bus;
	uint64_t call_timeout_us; /* 0: sd-bus's default */
	int input;                /* ends calls early; -1: none */
	bool subscribed;

	/* Gets the signals: the function that waits or watches now. */
	int (*on_signal)(sd_bus_message *m, void *arg);
	void *on_signal_arg;
	/* The first answer of on_signal other than 0 since it was set. */
	int signal_result;
};

#define PUBLIC __attribute__((visibility("default")))

/* Both return -1. error may be NULL. */
int client_fail(struct volume_client_error *error, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int client_fail_errno(struct volume_client_error *error, int negative_errno, const char *doing);

/*
 * Handles the messages that have come in, then waits for more until the deadline (CLOCK_MONOTONIC
 * in µs, UINT64_MAX none), or until fd can be read; -1: there is no such file. 1: go on. 0: the
 * deadline has passed. -1: the bus is lost.
 */
int client_turn(struct volume_client *client, int fd, uint64_t deadline_us,
		struct volume_client_error *error);
bool client_can_read(int fd); /* false for -1 */
uint64_t client_now_us(void);
/* True for the signal by which the daemon takes (arrived) or leaves its name. */
bool client_is_owner_change(sd_bus_message *m, bool *arrived);
/* All arguments of a message as a list; NULL if the message can't be read. */
struct volume_client_value *client_read_arguments(sd_bus_message *m);
