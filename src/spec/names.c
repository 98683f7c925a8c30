/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words behind spec/names.h. */

#include "spec/names.h"

#include <stddef.h>

const char *const device_bus_names[] = {
	[BUS_VIRTIO] = "virtio", [BUS_SCSI] = "scsi", [BUS_LOOP] = "loop",
	[BUS_OTHER] = "other",   [BUS_COUNT] = NULL,
};

const char *const export_engine_names[] = {
	[EXPORT_ENGINE_NONE] = "none",
	[EXPORT_ENGINE_QEMU] = "qemu-storage-daemon",
	[EXPORT_ENGINE_NBDKIT] = "nbdkit",
	[EXPORT_ENGINE_COUNT] = NULL,
};
