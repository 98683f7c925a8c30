/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Kinds of things on this machine: the configuration chooses from them, and answers name them. The
 * words stand here, so that the configuration needs none of the layers that do the work.
 */

/* How a disk is attached to the virtual machine. */
enum device_bus { BUS_VIRTIO, BUS_SCSI, BUS_LOOP, BUS_OTHER, BUS_COUNT };
extern const char *const device_bus_names[BUS_COUNT + 1];

/* The program that serves volumes over NBD. */
enum export_engine {
	EXPORT_ENGINE_NONE,
	EXPORT_ENGINE_QEMU,
	EXPORT_ENGINE_NBDKIT,
	EXPORT_ENGINE_COUNT
};
/* "none", "qemu-storage-daemon", … */
extern const char *const export_engine_names[EXPORT_ENGINE_COUNT + 1];
