/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A kernel made of files; see fake_kernel.h. A disk's folder is put together out of sight and then
 * renamed into place, so that a scan sees all of it or nothing. What leaves is kept in a grave: its
 * inode number is not given to the next one, as in sysfs.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_kernel.h"

static void put_number(struct fake_kernel *kernel, const char *folder, const char *attribute,
		       uint64_t value)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", folder, attribute);
	_cleanup_free_ char *text = xasprintf("%" PRIu64 "\n", value);

	tree_write(&kernel->tree, path, text);
}

static void put_boot_id(struct fake_kernel *kernel)
{
	_cleanup_free_ char *text = xasprintf("00000000-0000-4000-8000-%012u\n", ++kernel->boots);

	tree_write(&kernel->tree, "proc/sys/kernel/random/boot_id", text);
}

void kernel_init(struct fake_kernel *kernel)
{
	/* Thousands of small worlds are made; where there is memory that looks like a disk, a disk
	 * need not see them. */
	*kernel = (struct fake_kernel){ .tree.root = "/dev/shm/core-test-XXXXXX" };
	if (!mkdtemp(kernel->tree.root))
		tree_make(&kernel->tree);
	tree_folder(&kernel->tree, "sys/block");
	tree_folder(&kernel->tree, "dev");
	tree_folder(&kernel->tree, "staging");
	kernel->sys = tree_path(&kernel->tree, "sys");
	kernel->dev = tree_path(&kernel->tree, "dev");
	kernel->proc = tree_path(&kernel->tree, "proc");
	kernel->run = tree_path(&kernel->tree, "run");
	put_boot_id(kernel);
	tree_write(&kernel->tree, "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	tree_folder(&kernel->tree, "proc/self/ns");
	tree_link(&kernel->tree, "mnt:[4026531841]", "proc/self/ns/mnt");
	kernel_mount(kernel, NULL);
}

void kernel_fini(struct fake_kernel *kernel)
{
	tree_destroy(&kernel->tree);
	free(kernel->sys);
	free(kernel->dev);
	free(kernel->proc);
	free(kernel->run);
}

uint64_t kernel_plug(struct fake_kernel *kernel, const char *name, const char *serial,
		     uint64_t size)
{
	_cleanup_free_ char *folder = xasprintf("staging/%s", name);
	_cleanup_free_ char *number = xasprintf("%s/dev", folder);
	_cleanup_free_ char *serial_path = xasprintf("%s/serial", folder);
	_cleanup_free_ char *place = xasprintf("sys/block/%s", name);
	_cleanup_free_ char *text = xasprintf("254:%d\n", 16 * (name[strlen(name) - 1] - 'a'));

	tree_folder(&kernel->tree, folder);
	put_number(kernel, folder, "size", size / 512);
	put_number(kernel, folder, "ro", 0);
	put_number(kernel, folder, "diskseq", ++kernel->last_diskseq);
	tree_write(&kernel->tree, number, text);
	if (serial)
		tree_write(&kernel->tree, serial_path, serial);
	tree_move(&kernel->tree, folder, place);
	return kernel->last_diskseq;
}

void kernel_unplug(struct fake_kernel *kernel, const char *name)
{
	_cleanup_free_ char *place = xasprintf("sys/block/%s", name);

	tree_bury(&kernel->tree, place);
}

bool kernel_has(const struct fake_kernel *kernel, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/block/%s", kernel->sys, name);

	return access(path, F_OK) == 0;
}

void kernel_free_name(const struct fake_kernel *kernel, char name[16])
{
	for (char c = 'b'; c <= 'z'; c++) {
		snprintf(name, 16, "vd%c", c);
		if (!kernel_has(kernel, name))
			return;
	}
	fail_msg("no name is free");
}

void kernel_rename(struct fake_kernel *kernel, const char *from, const char *to)
{
	_cleanup_free_ char *old = xasprintf("sys/block/%s", from);
	_cleanup_free_ char *new = xasprintf("sys/block/%s", to);

	tree_move(&kernel->tree, old, new);
}

void kernel_swap(struct fake_kernel *kernel, const char *a, const char *b)
{
	kernel_rename(kernel, a, "swapping");
	kernel_rename(kernel, b, a);
	kernel_rename(kernel, "swapping", b);
}

void kernel_resize(struct fake_kernel *kernel, const char *name, uint64_t size)
{
	_cleanup_free_ char *folder = xasprintf("sys/block/%s", name);

	put_number(kernel, folder, "size", size / 512);
}

void kernel_reboot(struct fake_kernel *kernel, const char *const *names)
{
	kernel->last_diskseq = 0;
	put_boot_id(kernel);
	for (; *names; names++) {
		_cleanup_free_ char *folder = xasprintf("sys/block/%s", *names);

		put_number(kernel, folder, "diskseq", ++kernel->last_diskseq);
	}
}

void kernel_mount(struct fake_kernel *kernel, const char *name)
{
	_cleanup_free_ char *path = name ? xasprintf("%s/block/%s/dev", kernel->sys, name) : NULL;
	_cleanup_free_ char *number = path ? read_file_at(AT_FDCWD, path, 63, NULL) : NULL;
	_cleanup_free_ char *line = NULL, *text = NULL;

	/* A disk keeps its number when it is renamed; a disk that has yet to come gets this one. */
	if (name && !number)
		number = xasprintf("254:%d", 16 * (name[2] - 'a'));
	if (number)
		number[strcspn(number, "\n")] = '\0';
	line = number ? xasprintf("30 26 %s / /mnt/data rw - ext4 /dev/%s rw\n", number, name)
		      : xstrdup("");
	text = xasprintf("26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n%s", line);
	tree_write(&kernel->tree, "proc/self/mountinfo", text);
}

void kernel_serial(const struct fake_kernel *kernel, const char *name, char serial[64])
{
	_cleanup_free_ char *path = xasprintf("%s/block/%s/serial", kernel->sys, name);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 63, NULL);

	assert_true(kernel_has(kernel, name));
	snprintf(serial, 64, "%s", str_or(text, ""));
}
