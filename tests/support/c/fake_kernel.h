/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's disks as a folder: sys/block with one folder a disk, and what of proc is read to
 * find out who uses one. A disk appears and disappears whole, by a rename.
 */

#include "tree.h"

struct fake_kernel {
	struct tree tree;
	uint64_t last_diskseq;
	unsigned boots;
	char *sys, *dev, *proc, *run;
};

void kernel_init(struct fake_kernel *kernel);
void kernel_fini(struct fake_kernel *kernel);

/* serial NULL: the disk does not say who it is. Returns its diskseq. */
uint64_t kernel_plug(struct fake_kernel *kernel, const char *name, const char *serial,
		     uint64_t size);
void kernel_unplug(struct fake_kernel *kernel, const char *name);
bool kernel_has(const struct fake_kernel *kernel, const char *name);
/* The first of vdb, vdc, … that is not there. */
void kernel_free_name(const struct fake_kernel *kernel, char name[16]);
/* The disk that was at one name is at another from now on. */
void kernel_rename(struct fake_kernel *kernel, const char *from, const char *to);
void kernel_swap(struct fake_kernel *kernel, const char *a, const char *b);
void kernel_resize(struct fake_kernel *kernel, const char *name, uint64_t size);
/* As after a boot: the disks stay, but are counted anew from 1 in the order of the names given
 * (NULL at the end). */
void kernel_reboot(struct fake_kernel *kernel, const char *const *names);
/* Disks named in mounts ("vdb") are in use; NULL: none. */
void kernel_mount(struct fake_kernel *kernel, const char *name);
/* The disk's serial, "" when it has none; the disk must be there. */
void kernel_serial(const struct fake_kernel *kernel, const char *name, char serial[64]);
