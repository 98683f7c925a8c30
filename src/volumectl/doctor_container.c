/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor's check of a container. The daemon works on the host's disks: it needs the host's
 * /dev, in which disks appear, its processes, which use disks, its semaphores, by which udev tells
 * that a name of device mapper is there, and its network, from which clients come. A container
 * hides each of these unless it is told not to, and the daemon then fails late and far from the
 * cause.
 *
 * The numbers of the kernel's first namespaces never change (include/linux/proc_ns.h), so that a
 * program can tell whether it is in one of them. The first network has no such number, and is that
 * of process 1.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "volumectl/doctor_checks.h"

#define NOTES "see README.md in /usr/share/doc/volume-daemon/containers"

#define FIRST_IPC 0xefffffff
#define FIRST_USER 0xeffffffd
#define FIRST_PID 0xeffffffc

/* Our image sets this, as podman and LXC do. */
static bool is_container(void)
{
	return getenv("container") != NULL;
}

/* 0: it cannot be told. */
static ino_t namespace_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static bool is_host_network(void)
{
	return access("/proc/sys/net/core/netdev_budget", F_OK) == 0;
}

/* The kernel's own file system of devices, in which a disk appears by itself. */
static bool has_host_dev(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (!file)
		return true;
	/* The last mount is the one that is seen. */
	while (getline(&line, &size, file) >= 0) {
		if (strstr(line, " /dev "))
			found = strstr(line, " - devtmpfs ") != NULL;
	}
	fclose(file);
	return found;
}

static bool has_capabilities(uint64_t wanted)
{
	FILE *file = fopen("/proc/self/status", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	uint64_t has = 0;

	if (!file)
		return true;
	while (getline(&line, &size, file) >= 0) {
		if (str_has_prefix(line, "CapEff:"))
			has = strtoull(line + strlen("CapEff:"), NULL, 16);
	}
	fclose(file);
	return (has & wanted) == wanted;
}

static bool may_open_device_mapper(void)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		/* Whether there is one is another check. */
		return errno != EPERM && errno != EACCES;
	close(fd);
	return true;
}

static bool is_read_only(const char *path)
{
	struct statvfs st;

	return statvfs(path, &st) == 0 && (st.f_flag & ST_RDONLY);
}

static void complain(struct buf *text, enum verdict *worst, enum verdict verdict, const char *what)
{
	buf_printf(text, "%s%s", text->length ? "; " : "", what);
	if (verdict > *worst)
		*worst = verdict;
}

static void look_at_devices(struct buf *text, enum verdict *worst)
{
	if (!has_host_dev())
		complain(text, worst, VERDICT_WRONG,
			 "/dev is not the host's, so that disks do not appear in it");
	if (geteuid() == 0 &&
	    !has_capabilities(UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_SYS_PTRACE))
		complain(text, worst, VERDICT_WRONG,
			 "the capabilities SYS_ADMIN and SYS_PTRACE are missing");
	if (geteuid() == 0 && !may_open_device_mapper())
		complain(text, worst, VERDICT_WRONG,
			 "/dev/mapper/control may not be opened, nor may disks");
	if (access("/run/udev/control", F_OK) < 0)
		complain(
			text, worst, VERDICT_WARNING,
			"/run/udev is not the host's, so that names of device mapper are not awaited");
	if (is_read_only("/sys"))
		complain(text, worst, VERDICT_WARNING,
			 "/sys is read-only, so that some SCSI disks do not show a new size");
}

static void look_at_namespaces(struct buf *text, enum verdict *worst)
{
	if (namespace_of("/proc/self/ns/user") != FIRST_USER)
		complain(
			text, worst, VERDICT_WRONG,
			"users are not the host's, so that kernel events do not arrive and disks cannot be opened");
	if (namespace_of("/proc/self/ns/pid") != FIRST_PID)
		complain(text, worst, VERDICT_WRONG,
			 "processes are not the host's, so that users of a disk are not seen");
	if (namespace_of("/proc/self/ns/ipc") != FIRST_IPC)
		complain(
			text, worst, VERDICT_WRONG,
			"semaphores are not the host's, so that udev does not answer device mapper");
	if (!is_host_network())
		complain(
			text, worst, VERDICT_WARNING,
			"the network is not the host's, so that its programs reach neither REST nor NBD");
}

void check_container(const struct doctor *doctor, struct finding *finding)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	enum verdict worst = VERDICT_OK;

	if (!is_container()) {
		finding_set(finding, VERDICT_OK, NULL, "this is not a container");
		return;
	}
	look_at_devices(&text, &worst);
	look_at_namespaces(&text, &worst);
	if (worst == VERDICT_OK)
		finding_set(finding, VERDICT_OK, NULL,
			    "a container that has the host's devices, processes and network");
	else
		finding_set(finding, worst, NOTES, "in this container, %s", text.data);
}
