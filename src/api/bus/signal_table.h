/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The signals of the Manager, in the order of the table. Private to api/bus/. */

#include "spec/records.h"

enum bus_signal_id {
	SIGNAL_STARTED,
	SIGNAL_COMPLETED,
	SIGNAL_DEVICE_ADDED,
	SIGNAL_DEVICE_REMOVED,
	SIGNAL_DEVICE_READY,
	SIGNAL_MAPPING,
	SIGNAL_DRIFT,
	SIGNAL_COUNT
};

struct bus_signal {
	const char *member;
	const char *signature;
	const char *names; /* names of the arguments, each ended by a zero */
	const char *summary;
	const struct record *details; /* the dictionary at its end; NULL: it has none */
};
extern const struct bus_signal bus_signal_table[]; /* ended by a row without member */
