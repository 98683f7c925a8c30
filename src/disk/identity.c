/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The identity that a disk gives.
 *
 * CloudStack gives each volume's disk a serial: the first 20 hex digits of the volume's UUID, since
 * virtio has room for 20 characters. Each bus shows it somewhere else in sysfs; a row of
 * identity_buses[] says how the bus is recognised, which attributes hold the serial and how they
 * are read. The attribute itself is read, never udev's links, which go stale.
 *
 * Two questions are kept apart. Does the disk give any identity at all (has_identity)? If so, the
 * disk must never be taken for another volume because of its size. And is that identity a volume's
 * UUID or the beginning of one (identity)? Only such an identity can prove something. A serial like
 * "QM00001" answers the first with yes and the second with no.
 *
 * Reading virtio's serial is a request to the device, answered by the hypervisor; the others are
 * cached by the kernel.
 */

#include <assert.h>
#include <stdio.h>

#include "base/uuid.h"
#include "disk/identity.h"

#define ATTRIBUTE_MAX 4096 /* sysfs gives at most a page; a backing file's path fits */

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* ---- hex digits ---- */

/*
 * The lower-case hex digits of text without hyphens; 0 if text holds other characters, or more than
 * max digits.
 */
static size_t hex_digits(const char *text, char *out, size_t max)
{
	size_t count = 0;

	for (; *text; text++) {
		char c = *text;

		if (c >= 'A' && c <= 'F')
			c = (char)(c + ('a' - 'A'));
		if (c == '-')
			continue;
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || count == max)
			return 0;
		out[count++] = c;
	}
	out[count] = '\0';
	return count;
}

enum device_identity device_identity(const struct device *device, const char *volume_uuid)
{
	char volume[33];
	size_t length;

	assert(device && volume_uuid);
	if (!device->has_identity)
		return IDENTITY_NONE;
	length = strlen(device->identity);
	if (length < DEVICE_IDENTITY_MIN || hex_digits(volume_uuid, volume, 32) != 32)
		return IDENTITY_OTHER;
	return memcmp(device->identity, volume, length) == 0 ? IDENTITY_SAME : IDENTITY_OTHER;
}

/* ---- parsers ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
}

static void trim(const char **bytes, size_t *length)
{
	while (*length > 0 && is_blank(**bytes)) {
		(*bytes)++;
		(*length)--;
	}
	while (*length > 0 && is_blank((*bytes)[*length - 1]))
		(*length)--;
}

/* The serial as people may see it: trimmed, and made plain ASCII. */
static void set_serial(struct device *device, const char *bytes, size_t length)
{
	trim(&bytes, &length);
	if (length >= sizeof(device->serial))
		length = sizeof(device->serial) - 1;
	for (size_t i = 0; i < length; i++)
		device->serial[i] = (char)(bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?');
	device->serial[length] = '\0';
	device->has_identity = length > 0;
}

static void parse_serial(const char *bytes, size_t length, struct device *device)
{
	char digits[33];

	set_serial(device, bytes, length);
	if (hex_digits(device->serial, digits, 32) >= DEVICE_IDENTITY_MIN)
		memcpy(device->identity, digits, sizeof(digits));
}

/* SCSI's "unit serial number" page: peripheral, page code, length in two bytes, then the serial. */
static void parse_vpd_pg80(const char *bytes, size_t length, struct device *device)
{
	const unsigned char *header = (const unsigned char *)bytes;
	size_t claimed;

	if (length < 4 || header[1] != 0x80)
		return;
	claimed = (size_t)header[2] << 8 | header[3];
	if (claimed <= length - 4)
		parse_serial(bytes + 4, claimed, device);
}

/*
 * "t10.QEMU    QEMU HARDDISK   <serial>": vendor, model and serial, padded with blanks. Every other
 * form ("naa.6000c29…", "eui.…") is a number of the hypervisor's own, which tells disks apart but
 * is no volume's UUID; its prefix keeps it from being taken for a UUID.
 */
static void parse_wwid(const char *bytes, size_t length, struct device *device)
{
	size_t start;

	trim(&bytes, &length);
	if (length < 4 || memcmp(bytes, "t10.", 4) != 0) {
		parse_serial(bytes, length, device);
		return;
	}
	for (start = length; start > 4 && !is_blank(bytes[start - 1]); start--)
		;
	parse_serial(bytes + start, length - start, device);
}

/* Cuts an ending off, if it is there. */
static void cut_suffix(const char *bytes, size_t *length, const char *suffix)
{
	size_t size = strlen(suffix);

	if (*length > size && memcmp(bytes + *length - size, suffix, size) == 0)
		*length -= size;
}

/* The base name of the file behind a loop device. It names a volume only if it is a whole UUID. */
static void parse_backing_file(const char *bytes, size_t length, struct device *device)
{
	const char *slash;

	trim(&bytes, &length);
	/* added by the kernel if the file has no name any more */
	cut_suffix(bytes, &length, " (deleted)");
	cut_suffix(bytes, &length, ".img");
	slash = length ? memrchr(bytes, '/', length) : NULL;
	if (slash) {
		length -= (size_t)(slash + 1 - bytes);
		bytes = slash + 1;
	}
	parse_serial(bytes, length, device);
	if (!uuid_is_valid(device->serial))
		memset(device->identity, 0, sizeof(device->identity));
}

/* ---- the table ---- */

const struct identity_bus identity_buses[BUS_COUNT] = {
	[BUS_VIRTIO] = {
		.prefix = "vd", .tail = LETTERS, .subsystem = "virtio",
		.attributes = { { "serial", parse_serial } },
	},
	/* SATA disks, too: libata emulates both pages. */
	[BUS_SCSI] = {
		.prefix = "sd", .tail = LETTERS, .subsystem = "scsi",
		.attributes = { { "device/vpd_pg80", parse_vpd_pg80 }, { "device/wwid", parse_wwid } },
	},
	[BUS_LOOP] = {
		.prefix = "loop", .tail = DIGITS, .required = true,
		.attributes = { { "loop/backing_file", parse_backing_file } },
	},
	[BUS_OTHER] = { .prefix = NULL },
};

/* Block devices that stand for others, for memory, or for drives with a removable medium. */
static const struct {
	const char *prefix, *tail;
} not_disks[] = {
	{ "dm-", DIGITS },   { "md", DIGITS "_dp" LETTERS },
	{ "ram", DIGITS },   { "zram", DIGITS },
	{ "nbd", DIGITS },   { "sr", DIGITS },
	{ "fd", DIGITS },    { "mtdblock", DIGITS },
	{ "zd", DIGITS },    { "bcache", DIGITS },
	{ "ublkb", DIGITS }, { "ubiblock", DIGITS "_" },
	{ "drbd", DIGITS },
};

static bool name_fits(const char *name, const char *prefix, const char *tail)
{
	const char *rest = name + strlen(prefix);

	return str_has_prefix(name, prefix) && *rest && rest[strspn(rest, tail)] == '\0';
}

/* False only if device/subsystem exists and leads elsewhere. */
static bool subsystem_fits(int block_fd, const char *name, const char *subsystem)
{
	char path[DEVICE_NAME_SIZE + 32], target[512];
	const char *base;
	ssize_t length;

	snprintf(path, sizeof(path), "%s/device/subsystem", name);
	length = readlinkat(block_fd, path, target, sizeof(target) - 1);
	if (length < 0)
		return true;
	target[length] = '\0';
	base = strrchr(target, '/');
	return streq(base ? base + 1 : target, subsystem);
}

int identity_find_bus(int block_fd, const char *name, enum device_bus *out)
{
	assert(strlen(name) < DEVICE_NAME_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(not_disks); i++) {
		if (name_fits(name, not_disks[i].prefix, not_disks[i].tail))
			return -1;
	}
	*out = BUS_OTHER;
	for (enum device_bus bus = 0; bus < BUS_COUNT; bus++) {
		const struct identity_bus *row = &identity_buses[bus];

		if (row->prefix && name_fits(name, row->prefix, row->tail) &&
		    (!row->subsystem || subsystem_fits(block_fd, name, row->subsystem)))
			*out = bus;
	}
	return 0;
}

bool identity_can_have(enum device_bus bus)
{
	return identity_buses[bus].attributes[0].path;
}

void identity_read(int block_fd, struct device *device)
{
	const struct identity_bus *row = &identity_buses[device->bus];

	memset(device->serial, 0, sizeof(device->serial));
	memset(device->identity, 0, sizeof(device->identity));
	device->has_identity = false;
	for (size_t i = 0; i < ARRAY_SIZE(row->attributes) && row->attributes[i].path; i++) {
		_cleanup_free_ char *bytes = NULL;
		char path[DEVICE_NAME_SIZE + 32];
		size_t length;

		snprintf(path, sizeof(path), "%s/%s", device->name, row->attributes[i].path);
		bytes = read_file_at(block_fd, path, ATTRIBUTE_MAX, &length);
		if (bytes)
			row->attributes[i].parse(bytes, length, device);
		if (device->has_identity)
			return;
	}
}
