/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Disks that the kernel shows with another size than CloudStack. They are SCSI disks: the kernel
 * may learn their new size only when it is told to look. */

struct device;
struct host;

/* Makes the kernel look at the size of this disk; scans and events show the result. Repeated calls
 * cost nothing: a disk is rescanned only now and then. Disks on other buses are left alone. */
void disk_rescan(struct host *host, const struct device *device);
/* The reason why this disk (device NULL: any disk) could not be rescanned and still has its former
 * size, with the command that rescans it; the caller frees it. NULL: there is no such disk. */
char *disk_rescan_trouble(const struct host *host, const struct device *device);
void disk_rescans_free(struct host *host);
