/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a disk: one scan. */

#include <stdio.h>
#include <unistd.h>

#include "disk/usage_scan.h"
#include "usage_scene.h"

/* One scan, here and now; its text is the scene's. */
static void scan(struct scene *scene, const char *name, const struct usage_ignore *ignore)
{
	struct usage_report report;

	usage_report_init(&report, &scene->options, name, ignore);
	usage_scan(&report);
	scene->err = report.err;
	scene->kind = report.kind;
	scene->beside = report.beside;
	snprintf(scene->what, sizeof(scene->what), "%s", str_or(report.what.data, ""));
	snprintf(scene->left_out, sizeof(scene->left_out), "%s", str_or(report.left_out.data, ""));
	usage_report_clear(&report);
}

static void expect_but(struct scene *scene, const char *name, const struct usage_ignore *ignore,
		       enum usage_kind expected, const char *text)
{
	scan(scene, name, ignore);
	if (scene->err.code)
		fail_msg("%s: %s", name, scene->err.text);
	assert_string_equal(scene->what, text);
	assert_int_equal(scene->kind, expected);
}

static void expect(struct scene *scene, const char *name, enum usage_kind expected,
		   const char *text)
{
	struct usage_ignore nothing = { 0 };

	expect_but(scene, name, &nothing, expected, text);
}

/* For what comes in the order of a folder. */
static void expect_among(struct scene *scene, const char *name, enum usage_kind expected,
			 const char *text)
{
	struct usage_ignore nothing = { 0 };

	scan(scene, name, &nothing);
	assert_int_equal(scene->err.code, ERR_NONE);
	assert_int_equal(scene->kind, expected);
	if (!strstr(scene->what, text))
		fail_msg("\"%s\" is not in \"%s\"", text, scene->what);
}

static void expect_error(struct scene *scene, const char *name, enum err_code code)
{
	struct usage_ignore nothing = { 0 };

	scan(scene, name, &nothing);
	assert_int_equal(scene->err.code, code);
	assert_true(scene->err.text[0] != '\0');
	assert_int_equal(scene->kind, USAGE_NONE);
}

static void test_unused(void **state)
{
	/* 254:1 and 254:160 are not 254:16, /dev/vdbb is not /dev/vdb. */
	mounts(*state,
	       "30 26 254:1 / /a rw - ext4 /dev/vda1 rw\n30 26 254:160 / /b rw - ext4 /dev/vdbb rw\n");
	swaps(*state, "/dev/vdbb partition 1 0 -2\n/swap\\040file file 1 0 -3\n");
	expect(*state, "vdb", USAGE_NONE, "");
}

static void test_mounted(void **state)
{
	mounts(*state, "30 26 254:16 / /mnt/x rw,relatime shared:7 master:1 - xfs /dev/root rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/x");
	/* A bind mount of a folder counts as any other; no optional fields this time. */
	mounts(*state,
	       "30 26 254:16 / /mnt/x rw - xfs /dev/vdb rw\n31 26 254:16 /sub /srv/y rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/x, mounted at /srv/y");
	expect(*state, "vdc", USAGE_NONE, "");
}

static void test_escapes(void **state)
{
	mounts(*state, "30 26 254:16 / /mnt/my\\040disk\\134x rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/my disk\\x");
	/* What is not fit to be shown stays escaped. */
	mounts(*state, "30 26 254:16 / /mnt/a\\012b rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/a\\012b");
	/* An escaped source is the same device. */
	tree_folder(&((struct scene *)*state)->tree, "sys/fs/btrfs/0f-uuid/devices/vdb");
	mounts(*state, "30 26 0:50 / /mnt/a rw - btrfs /dev/v\\144b rw\n");
	expect(*state, "vdb", USAGE_HELD, "part of btrfs 0f-uuid, mounted at /mnt/a");
}

static void test_root(void **state)
{
	static const struct {
		const char *mount_point;
		enum usage_kind expected;
	} rows[] = {
		{ "/usr", USAGE_ROOT },      { "/var", USAGE_ROOT },       { "/boot", USAGE_ROOT },
		{ "/boot/efi", USAGE_ROOT }, { "/var/lib/x", USAGE_HELD }, { "/bootx", USAGE_HELD },
		{ "/home", USAGE_HELD },
	};

	expect(*state, "vda", USAGE_ROOT, "mounted at /");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *line =
			xasprintf("30 26 254:16 / %s rw - ext4 /dev/vdb rw\n", rows[i].mount_point);
		_cleanup_free_ char *text = xasprintf("mounted at %s", rows[i].mount_point);

		mounts(*state, line);
		expect(*state, "vdb", rows[i].expected, text);
	}
	/* ROOT outweighs what comes after it. */
	mounts(*state, "30 26 254:0 / /mnt rw - ext4 /dev/vda rw\n");
	expect(*state, "vda", USAGE_ROOT, "mounted at /, mounted at /mnt");
}

static void test_partition(void **state)
{
	disk(*state, "vdb/vdb1", "254:17");
	disk(*state, "vdb/vdb2", "259:0");
	mounts(*state, "30 26 259:0 / /data rw - ext4 /dev/disk/by-uuid/x rw\n");
	expect(*state, "vdb", USAGE_HELD, "vdb2 mounted at /data");
	mounts(*state, "30 26 254:17 / /usr rw - ext4 /dev/vdb1 rw\n");
	expect(*state, "vdb", USAGE_ROOT, "vdb1 mounted at /usr");
	/* A partition without "holders" has none. */
	tree_unlink(&((struct scene *)*state)->tree, "sys/block/vdb/vdb1/holders");
	expect(*state, "vdb", USAGE_ROOT, "vdb1 mounted at /usr");
}

static void test_swap(void **state)
{
	struct scene *scene = *state;

	swaps(scene, "/dev/vdb                                partition\t1048572\t\t0\t\t-2\n");
	expect(scene, "vdb", USAGE_HELD, "used as swap");
	expect(scene, "vdc", USAGE_NONE, "");
	disk(scene, "vdc/vdc1", "254:33");
	swaps(scene, "/dev/vda partition 1 0 -2\n/dev/vdc1\tpartition 1 0 -3\n");
	expect(scene, "vdc", USAGE_HELD, "vdc1 used as swap");
}

/* vdb1 → md0 → dm-0, with the root file system on top: LVM on RAID. */
static void test_stack(void **state)
{
	struct scene *scene = *state;

	disk(scene, "vdb/vdb1", "254:17");
	disk(scene, "md0", "9:0");
	disk(scene, "dm-0", "253:0");
	tree_write(&scene->tree, "sys/block/dm-0/dm/name", "vg-root\n");
	hold(scene, "vdb/vdb1", "md0");
	hold(scene, "md0", "dm-0");
	expect(scene, "vdb", USAGE_HELD, "vdb1 held by md0, md0 held by vg-root");
	tree_write(&scene->tree, "proc/self/mountinfo",
		   "26 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n");
	expect(scene, "vdb", USAGE_ROOT,
	       "vdb1 held by md0, md0 held by vg-root, vg-root mounted at /");
	expect(scene, "vda", USAGE_NONE, "");
	/* By the mapper's name alone, as btrfs shows it. */
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/dm-0");
	tree_write(&scene->tree, "proc/self/mountinfo",
		   "26 1 0:33 / / rw - btrfs /dev/mapper/vg-root rw\n");
	expect(scene, "vdb", USAGE_ROOT,
	       "vdb1 held by md0, md0 held by vg-root, vg-root part of btrfs 0f-uuid, "
	       "vg-root mounted at /");
	tree_unlink(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/dm-0");
	swaps(scene, "/dev/dm-0 partition 1 0 -2\n");
	mounts(scene, "");
	expect(scene, "vdb", USAGE_HELD,
	       "vdb1 held by md0, md0 held by vg-root, vg-root used as swap");
}

/* Partitions of what stands on the disk, and a holder reached in two ways. */
static void test_stacked_partitions(void **state)
{
	struct scene *scene = *state;

	disk(scene, "md0", "9:0");
	disk(scene, "md0/md0p1", "259:7");
	disk(scene, "vdb/vdb1", "254:17");
	disk(scene, "vdb/vdb2", "254:18");
	hold(scene, "vdb/vdb1", "md0");
	hold(scene, "vdb/vdb2", "md0");
	mounts(scene, "30 26 259:7 / /raid rw - ext4 /dev/md0p1 rw\n");
	/* The order of the partitions is the folder's. */
	expect_among(scene, "vdb", USAGE_HELD, "vdb1 held by md0");
	expect_among(scene, "vdb", USAGE_HELD, "vdb2 held by md0");
	expect_among(scene, "vdb", USAGE_HELD, "md0p1 mounted at /raid");
	/* A ring, which the kernel does not make, ends all the same. */
	hold(scene, "md0", "vdb");
	expect(scene, "vdc", USAGE_NONE, "");
	expect_among(scene, "vdb", USAGE_HELD, "md0 held by vdb");
}

static void test_loop_on_top(void **state)
{
	struct scene *scene = *state;

	disk(scene, "loop3", "7:3");
	tree_write(&scene->tree, "sys/block/loop3/loop/backing_file", "/dev/vdb\n");
	disk(scene, "loop4", "7:4"); /* without a file */
	expect(scene, "vdb", USAGE_HELD, "held by loop3");
	expect(scene, "vdc", USAGE_NONE, "");
	mounts(scene, "30 26 7:3 / /usr ro - squashfs /dev/loop3 ro\n");
	expect(scene, "vdb", USAGE_ROOT, "held by loop3, loop3 mounted at /usr");
}

/* The kernel shows one member of a btrfs as the source; the others are used no less. */
static void test_btrfs_members(void **state)
{
	struct scene *scene = *state;

	tree_folder(&scene->tree, "sys/fs/btrfs/features");
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/vdb");
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/vdc");
	mounts(scene, "30 26 0:44 / /pool rw - btrfs /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_HELD, "part of btrfs 0f-uuid, vdc mounted at /pool");
	mounts(scene, "30 26 0:44 / /usr rw - btrfs /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_ROOT, "part of btrfs 0f-uuid, vdc mounted at /usr");
	expect(scene, "vda", USAGE_ROOT, "mounted at /");
}

static void test_many(void **state)
{
	struct scene *scene = *state;
	_cleanup_buf_ struct buf lines = BUF_NULL;

	for (int i = 0; i < 1000; i++)
		buf_printf(&lines, "30 26 254:16 / /m%d rw - ext4 /dev/vdb rw\n", i);
	buf_add_text(&lines, "30 26 254:16 / /usr rw - ext4 /dev/vdb rw\n");
	mounts(scene, lines.data);
	/* one that is not shown counts, too */
	expect_among(scene, "vdb", USAGE_ROOT, "/m15 and 985 more");
	assert_null(strstr(scene->what, "/m16"));
}

/* ---- other mount namespaces ---- */

static void test_namespaces(void **state)
{
	struct scene *scene = *state;

	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	/* Copies of ours, as services have them, and two processes of one that has more. */
	process(scene, "1", "systemd", "4026531840",
		ROOT_LINE "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	process(scene, "300", "dhclient", OUR_NAMESPACE,
		"30 26 254:16 / /never/read rw - ext4 /dev/vdb rw\n");
	process(scene, "4000", "nginx", "4026532000",
		"30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n31 26 254:32 / /srv rw - xfs /dev/vdc rw\n");
	process(scene, "4001", "nginx", "4026532000", "31 26 254:32 / /srv rw - xfs /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_HELD, "mounted at /mnt/x");
	expect(scene, "vdc", USAGE_HELD,
	       "mounted at /srv in the mount namespace of pid 4000 (nginx)");
	expect(scene, "vda", USAGE_ROOT, "mounted at /");
}

/* The first process's root is this system's, even where we have been given another; a container's
 * root is not. */
static void test_roots_elsewhere(void **state)
{
	struct scene *scene = *state;

	process(scene, "1", "systemd", "4026531840", "26 1 254:16 / / rw - ext4 /dev/vdb rw\n");
	process(scene, "77", "init", "4026532000", "26 1 254:32 / / rw - ext4 /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_ROOT, "mounted at / in the mount namespace of pid 1 (systemd)");
	expect(scene, "vdc", USAGE_HELD, "mounted at / in the mount namespace of pid 77 (init)");
}

static void test_processes_that_cannot_be_read(void **state)
{
	struct scene *scene = *state;

	/* It has ended while it was looked at; another one tells. */
	process(scene, "50", "gone", "4026532000", "");
	tree_unlink(&scene->tree, "proc/50/mountinfo");
	process(scene, "51", "there", "4026532000", "31 26 254:16 / /srv rw - xfs /dev/vdb rw\n");
	/* These show neither a namespace nor a name, nor what they have open. */
	tree_folder(&scene->tree, "proc/52");
	process(scene, "53", "kept\x1bquiet", "4026532001",
		"31 26 254:32 / /srv rw - xfs /dev/vdc rw\n");
	tree_unlink(&scene->tree, "proc/53/fd");
	tree_folder(&scene->tree, "proc/54");
	expect(scene, "vdb", USAGE_HELD,
	       "mounted at /srv in the mount namespace of pid 51 (there)");
	expect(scene, "vdc", USAGE_HELD, "mounted at /srv in the mount namespace of pid 53 (?)");
	/* Our own must say where it is. */
	tree_unlink(&scene->tree, "proc/self/ns/mnt");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
}

/* ---- what is open ---- */

static void test_opened(void **state)
{
	struct scene *scene = *state;

	disk(scene, "vdb/vdb1", "254:17");
	process(scene, "4711", "qemu-img", OUR_NAMESPACE, "");
	opens(scene, "4711", "3", "254:16");
	opens(scene, "4711", "4", "254:16");
	process(scene, "4712", "dd", OUR_NAMESPACE, "");
	opens(scene, "4712", "0", "254:17");
	process(scene, "4713", "bash", OUR_NAMESPACE, "");
	tree_link(&scene->tree, "/dev/null", "proc/4713/fd/0");
	tree_link(&scene->tree, "socket:[77]", "proc/4713/fd/1");
	opens(scene, "4713", "2", "254:160");
	expect(scene, "vdb", USAGE_HELD,
	       "opened by qemu-img (pid 4711), vdb1 opened by dd (pid 4712)");
	/* A disk in trouble may let an open wait, and its user is known. */
	assert_int_equal(claims, 0);
	expect(scene, "vdc", USAGE_NONE, "");
	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	expect(scene, "vdb", USAGE_HELD,
	       "mounted at /mnt/x, opened by qemu-img (pid 4711), vdb1 opened by dd (pid 4712)");
}

static void test_who_does_not_count(void **state)
{
	struct scene *scene = *state;
	struct usage_ignore engine = { .pid = 900 };

	process(scene, "300", "(udev-worker)", OUR_NAMESPACE, "");
	opens(scene, "300", "5", "254:16");
	process(scene, "900", "qemu-storage-da", OUR_NAMESPACE, "");
	opens(scene, "900", "11", "254:16");
	expect_but(scene, "vdb", &engine, USAGE_NONE, "");
	expect(scene, "vdb", USAGE_HELD, "opened by qemu-storage-da (pid 900)");
	/* Ourselves. */
	tree_move(&scene->tree, "proc/self", "proc/800");
	tree_link(&scene->tree, "800", "proc/self");
	tree_folder(&scene->tree, "proc/800/fd");
	opens(scene, "800", "9", "254:16");
	expect_but(scene, "vdb", &engine, USAGE_NONE, "");
}

static void test_claimed(void **state)
{
	struct scene *scene = *state;
	struct usage_ignore map = { .map_uuid = OUR_MAP };

	claimed = "vdb";
	expect(scene, "vdb", USAGE_HELD,
	       "claimed by a program, or by a file system without a visible mount");
	expect(scene, "vdc", USAGE_NONE, "");
	/* Our map claims what it stands on; then it is the map that nobody else may claim. */
	disk(scene, "dm-3", "253:3");
	tree_write(&scene->tree, "sys/block/dm-3/dm/uuid", OUR_MAP "\n");
	hold(scene, "vdb", "dm-3");
	expect_but(scene, "vdb", &map, USAGE_NONE, "");
	claimed = "dm-3";
	expect_but(scene, "vdb", &map, USAGE_HELD,
		   "dm-3 claimed by a program, or by a file system without a visible mount");
}

/* Who only has it open may stay; who has claimed it does not hide behind him. */
static void test_openers_may_stay(void **state)
{
	struct scene *scene = *state;
	struct usage_ignore openers = { .openers = true };

	process(scene, "901", "qemu-img", OUR_NAMESPACE, "");
	opens(scene, "901", "3", "254:16");
	expect_but(scene, "vdb", &openers, USAGE_NONE, "");
	claimed = "vdb";
	expect_but(scene, "vdb", &openers, USAGE_HELD,
		   "claimed by a program, or by a file system without a visible mount");
}

/* ---- our own map ---- */

static void test_our_map(void **state)
{
	struct scene *scene = *state;
	struct usage_ignore map = { .map_uuid = OUR_MAP, .pid = 900 };

	disk(scene, "dm-3", "253:3");
	tree_write(&scene->tree, "sys/block/dm-3/dm/name", "vol01234567\n");
	tree_write(&scene->tree, "sys/block/dm-3/dm/uuid", OUR_MAP "\n");
	hold(scene, "vdb", "dm-3");
	process(scene, "900", "qemu-storage-da", OUR_NAMESPACE, "");
	opens(scene, "900", "11", "253:3");
	expect_but(scene, "vdb", &map, USAGE_NONE, "");
	expect(scene, "vdb", USAGE_HELD,
	       "held by vol01234567, vol01234567 opened by qemu-storage-da (pid 900)");
	/* Whoever uses it does count. */
	process(scene, "901", "qemu-img", OUR_NAMESPACE, "");
	opens(scene, "901", "3", "253:3");
	expect_but(scene, "vdb", &map, USAGE_HELD, "vol01234567 opened by qemu-img (pid 901)");
	disk(scene, "dm-4", "253:4");
	tree_write(&scene->tree, "sys/block/dm-4/dm/name", "vol01234567-copy\n");
	tree_write(&scene->tree, "sys/block/dm-4/dm/uuid", "LVM-01234567\n");
	hold(scene, "dm-3", "dm-4");
	mounts(scene, "30 26 253:3 / /mnt/x rw - ext4 /dev/mapper/vol01234567 rw\n");
	expect_but(scene, "vdb", &map, USAGE_HELD,
		   "vol01234567 held by vol01234567-copy, vol01234567 mounted at /mnt/x, "
		   "vol01234567 opened by qemu-img (pid 901)");
	assert_false(scene->beside);
	/* Who has the disk itself open uses it beside the map, also if he has both. */
	opens(scene, "901", "4", "254:16");
	scan(scene, "vdb", &map);
	assert_true(scene->beside);
	/* Another's map is not ours because ours is there as well. */
	hold(scene, "vdb", "dm-4");
	expect_among(scene, "vdb", USAGE_HELD, "held by vol01234567-copy");
}

/* ---- nothing is assumed ---- */

static void test_unknown_disk(void **state)
{
	expect_error(*state, "vdz", ERR_NOT_FOUND);
	expect_error(*state, "", ERR_INVALID);
	expect_error(*state, "..", ERR_INVALID);
	expect_error(*state, "../vda", ERR_INVALID);
	expect_error(*state, "a-name-longer-than-the-kernel-has-any", ERR_INVALID);
}

static void test_unreadable(void **state)
{
	struct scene *scene = *state;

	tree_unlink(&scene->tree, "proc/swaps");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	swaps(scene, "");
	tree_unlink(&scene->tree, "proc/self/mountinfo");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	mounts(scene, "");
	expect(scene, "vdb", USAGE_NONE, "");
	tree_unlink(&scene->tree, "sys/block/vdb/dev");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	disk(scene, "vdb", "254:16");
	/* Held by something that is not there. */
	hold(scene, "vdb", "dm-9");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	tree_unlink(&scene->tree, "sys/block/vdb/holders/dm-9");
	tree_unlink(&scene->tree, "sys/block/vdb/holders");
	expect(scene, "vdb", USAGE_NONE, "");
	tree_write(&scene->tree, "sys/block/vdb/holders", "not a folder");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
}

static void test_nonsense(void **state)
{
	mounts(*state, "30\n");
	expect_error(*state, "vdb", ERR_INTERNAL);
}

/* ---- strangers ---- */

/* The source of a mount is a word of the user who makes it. */
static void test_source_is_no_use(void **state)
{
	struct scene *scene = *state;

	mounts(scene, "30 26 0:60 / /mnt rw - tmpfs /dev/vdb rw\n");
	expect(scene, "vdb", USAGE_NONE, "");
	/* Not even of a btrfs, unless the kernel calls the disk its member. */
	mounts(scene, "30 26 0:60 / /mnt rw - btrfs /dev/vdb rw\n");
	expect(scene, "vdb", USAGE_NONE, "");
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/vdb");
	mounts(scene, "30 26 0:60 / /mnt rw - fuse.btrfs /dev/vdb rw\n");
	expect(scene, "vdb", USAGE_HELD, "part of btrfs 0f-uuid");
}

/* A line that is longer than any buffer tells its number first. */
static void test_long_lines(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *path = xmalloc(200001);
	_cleanup_buf_ struct buf lines = BUF_NULL;

	memset(path, 'x', 200000);
	path[200000] = '\0';
	buf_printf(&lines, "30 26 254:16 /%s /mnt rw - ext4 /dev/vdb rw\n", path);
	buf_printf(&lines, "31 26 254:32 / /srv rw - ext4 /dev/vdc rw,%s\n", path);
	mounts(scene, lines.data);
	expect(scene, "vdb", USAGE_HELD, "mounted at a long path");
	expect(scene, "vdc", USAGE_HELD, "mounted at /srv");
}

/* More mounts than are read leave the answer to the claim. */
static void test_endless_namespace(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *path = tree_path(&scene->tree, "proc/700/mountinfo");

	process(scene, "700", "stranger", "4026532700", "");
	process(scene, "701", "mysqld", "4026532701", "30 26 254:16 / /db rw - ext4 /dev/vdb rw\n");
	/* Bytes of nothing, which take no room on the disk. */
	assert_int_equal(truncate(path, INT64_C(80) << 20), 0);
	tree_write(&scene->tree, "dev/vdb", "");
	expect(scene, "vdb", USAGE_NONE, "");
	claimed = "vdb";
	expect(scene, "vdb", USAGE_HELD,
	       "claimed by a program, or by a file system without a visible mount (only 64 MiB of "
	       "the mounts in other namespaces were looked at)");
	/* Without the claim's answer the users are unknown. */
	claimed = NULL;
	tree_unlink(&scene->tree, "dev/vdb");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
}

/* A disk that can be claimed is mounted nowhere, so the lists of others need not be read. */
static void test_claim_spares_namespaces(void **state)
{
	struct scene *scene = *state;

	process(scene, "701", "mysqld", "4026532701", "30 26 254:16 / /db rw - ext4 /dev/vdb rw\n");
	tree_write(&scene->tree, "dev/vdb", "");
	expect(scene, "vdb", USAGE_NONE, "");
	claimed = "vdb";
	expect(scene, "vdb", USAGE_HELD,
	       "mounted at /db in the mount namespace of pid 701 (mysqld)");
	/* With a user here, all are named. */
	claimed = NULL;
	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	expect(scene, "vdb", USAGE_HELD,
	       "mounted at /mnt/x, mounted at /db in the mount namespace of pid 701 (mysqld)");
	/* The first process's namespace is this system's. */
	mounts(scene, "");
	process(scene, "1", "systemd", "4026531840", "26 1 254:16 / / rw - ext4 /dev/vdb rw\n");
	expect_among(scene, "vdb", USAGE_ROOT,
		     "mounted at / in the mount namespace of pid 1 (systemd)");
}

/* What a lack of descriptors hides is not taken for no user. */
static void test_lack_of_descriptors(void **state)
{
	struct scene *scene = *state;

	process(scene, "800", "dd", OUR_NAMESPACE, "");
	opens(scene, "800", "3", "254:16");
	out_of_descriptors = "proc/800/fd";
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	process(scene, "801", "nginx", "4026532801", "");
	out_of_descriptors = "proc/801/mountinfo";
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	out_of_descriptors = "dev/vdc";
	expect_error(scene, "vdc", ERR_UNAVAILABLE);
	out_of_descriptors = NULL;
	expect(scene, "vdb", USAGE_HELD, "opened by dd (pid 800)");
}

/* ---- a user with thousands of processes ---- */

static void started_by(struct scene *scene, int pid, unsigned user, const char *opened)
{
	_cleanup_free_ char *number = xasprintf("%d", pid);
	_cleanup_free_ char *status = xasprintf("proc/%d/status", pid);
	_cleanup_free_ char *text =
		xasprintf("Name:\tdd\nUid:\t%u\t0\t0\t0\nGid:\t0\t0\t0\t0\n", user);
	_cleanup_free_ char *fd = xasprintf("proc/%d/fd", pid);

	tree_folder(&scene->tree, fd);
	tree_write(&scene->tree, status, text);
	if (opened)
		opens(scene, number, "3", opened);
}

/* The real user id counts: these run with the rights of root. */
static void test_a_user_hides_only_own_use(void **state)
{
	struct scene *scene = *state;

	for (int pid = 1000; pid < 1000 + 4095; pid++)
		started_by(scene, pid, 1000, NULL);
	started_by(scene, 9000, 1000, "254:16");
	expect(scene, "vdb", USAGE_NONE, "");
	assert_string_equal(scene->left_out, "the open files of user 1000 behind the first 65536");
	started_by(scene, 9001, 1001, "254:16");
	started_by(scene, 9002, 0, "254:16");
	expect(scene, "vdb", USAGE_HELD, "opened by ? (pid 9001), opened by ? (pid 9002)");
	tree_unlink(&scene->tree, "proc/1000/status");
	tree_unlink(&scene->tree, "proc/1001/status");
	expect(scene, "vdb", USAGE_HELD,
	       "opened by ? (pid 9000), opened by ? (pid 9001), opened by ? (pid 9002)");
	assert_string_equal(scene->left_out, "");
}

/* This machine's own disks can be asked without an error. */
static void test_real(void **state)
{
	struct scene *scene = *state;
	struct usage_ignore nothing = { 0 };

	if (access("/sys/block/vda/dev", R_OK) < 0 || access("/proc/swaps", R_OK) < 0)
		skip();
	scene->options = (struct usage_options){ .proc_root = "/proc",
						 .sysfs_root = "/sys",
						 .dev_root = "/dev" };
	scan(scene, "vda", &nothing);
	if (scene->err.code)
		fail_msg("%s", scene->err.text);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unused),
		TEST(mounted),
		TEST(escapes),
		TEST(root),
		TEST(partition),
		TEST(swap),
		TEST(stack),
		TEST(stacked_partitions),
		TEST(loop_on_top),
		TEST(btrfs_members),
		TEST(many),
		TEST(namespaces),
		TEST(roots_elsewhere),
		TEST(processes_that_cannot_be_read),
		TEST(opened),
		TEST(who_does_not_count),
		TEST(claimed),
		TEST(openers_may_stay),
		TEST(our_map),
		TEST(unknown_disk),
		TEST(unreadable),
		TEST(nonsense),
		TEST(source_is_no_use),
		TEST(long_lines),
		TEST(endless_namespace),
		TEST(claim_spares_namespaces),
		TEST(lack_of_descriptors),
		TEST(a_user_hides_only_own_use),
		TEST(real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
