/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Manager's own signals. signals.c sends them; vtable.c announces them. */

#include "api/bus/signal_table.h"

#include <stddef.h>

#define NAMES2(A, B) A "\0" B "\0"
#define NAMES3(A, B, C) NAMES2(A, B) C "\0"

const struct bus_signal bus_signal_table[] = {
	[SIGNAL_STARTED] = {
		"OperationStarted", "osss", NAMES3("operation", "id", "operation_type") "volume_id\0",
		"An operation was accepted; it is durable.",
		NULL,
	},
	[SIGNAL_COMPLETED] = {
		"OperationCompleted", "osssssa{sv}",
		NAMES3("operation", "id", "operation_type") NAMES3("status", "volume_id", "device_path") "details\0",
		"An operation has ended: completed, failed or cancelled. Sent once an operation.",
		&operation_record,
	},
	[SIGNAL_DEVICE_ADDED] = {
		"DeviceAdded", "sa{sv}", NAMES2("device_path", "device"),
		"The kernel shows a new disk.",
		&device_record,
	},
	[SIGNAL_DEVICE_REMOVED] = {
		"DeviceRemoved", "sa{sv}", NAMES2("device_path", "device"),
		"A disk has gone from the kernel.",
		&device_record,
	},
	[SIGNAL_DEVICE_READY] = {
		"DeviceReady", "ssa{sv}", NAMES3("volume_id", "device_path", "device"),
		"The disk of an attachment to this machine is here and proven by its serial, before the "
		"attachment has ended. If that fails, its error says that the disk goes away again. Not "
		"sent for a disk without a serial; may be sent again after a restart of the daemon.",
		&device_record,
	},
	[SIGNAL_MAPPING] = {
		"MappingChanged", "ssa{sv}", NAMES3("volume_id", "device_path", "mapping"),
		"A volume is now this device; device_path is empty if the volume has no device any more.",
		&mapping_record,
	},
	[SIGNAL_DRIFT] = {
		"DriftFound", "sa{sv}", NAMES2("kind", "drift"),
		"Store, CloudStack and kernel disagree about a volume; sent once while the difference lasts.",
		&drift_record,
	},
	[SIGNAL_COUNT] = { NULL, NULL, NULL, NULL, NULL },
};
