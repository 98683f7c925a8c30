/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asking libblkid what is on a device. Nothing here waits for the device but the thread that reads it; what becomes of a
 * thread that never comes back is io/patient's business.
 */

#include <assert.h>
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "disk/probe.h"
#include "io/blocking.h"

struct look {
	char *path;
	struct probe_result result;
};

struct probe {
	struct patient_call call;
	probe_done_fn done;
	void *arg;
};

struct prober {
	struct patient *patient;
};

/* ---- the thread ---- */

static void copy_value(blkid_probe probe, const char *name, char *out, size_t size)
{
	const char *value = NULL;

	if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0 || !value)
		return;
	snprintf(out, size, "%s", value);
	/* Labels are whatever somebody once wrote there. */
	if (!str_is_plain_text(out))
		out[0] = '\0';
}

static int open_device(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno == ENOENT || errno == ENXIO ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s cannot be opened: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is neither a block device nor a file", path);
	return TAKE_FD(fd);
}

static int read_signatures(blkid_probe probe, struct look *look)
{
	struct probe_result *result = &look->result;
	int r;

	blkid_probe_enable_superblocks(probe, true);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, true);
	errno = 0;
	r = blkid_do_safeprobe(probe);
	if (r == -2) {
		/* Two signatures contradict each other; to name one of them would be a guess. */
		snprintf(result->filesystem, sizeof(result->filesystem), "ambiguous");
		return 0;
	}
	if (r < 0)
		return err_set(&result->err, ERR_UNAVAILABLE, "%s cannot be read: %s", look->path,
			       strerror(errno ? errno : EIO));
	copy_value(probe, "TYPE", result->filesystem, sizeof(result->filesystem));
	copy_value(probe, "LABEL", result->label, sizeof(result->label));
	copy_value(probe, "UUID", result->uuid, sizeof(result->uuid));
	copy_value(probe, "PTTYPE", result->partition_table, sizeof(result->partition_table));
	return 0;
}

static void look_run(void *work)
{
	struct look *look = work;
	_cleanup_close_ int fd = open_device(look->path, &look->result.err);
	blkid_probe probe;

	if (fd < 0)
		return;
	probe = blkid_new_probe();
	if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0)
		err_set(&look->result.err, ERR_UNAVAILABLE, "%s cannot be read: %s", look->path, strerror(errno));
	else
		(void)read_signatures(probe, look);
	blkid_free_probe(probe);
}

static void look_free(void *work)
{
	struct look *look = work;

	free(look->path);
	free(look);
}

/* ---- the loop's side ---- */

static void on_looked(struct patient_call *call, void *work, const struct err *err)
{
	struct probe *probe = container_of(call, struct probe, call);
	const struct look *look = work;
	struct probe_result nothing = { .err = *err };
	probe_done_fn done = probe->done;
	void *arg = probe->arg;

	free(probe);
	done(arg, look ? &look->result : &nothing);
}

struct prober *prober_new(struct loop *loop, int64_t timeout_ms)
{
	struct patient_options options = {
		.name = "probe",
		.at_once = 1,
		.stuck_max = PROBE_STUCK_MAX,
		.timeout_ms = timeout_ms,
		.run = look_run,
		.free_work = look_free,
	};
	struct prober *prober = xnew(struct prober);

	prober->patient = patient_new(loop, &options);
	return prober;
}

struct prober *prober_free(struct prober *prober)
{
	struct patient_call *call;

	if (!prober)
		return NULL;
	while ((call = patient_first(prober->patient)))
		probe_cancel(container_of(call, struct probe, call));
	patient_free(prober->patient);
	free(prober);
	return NULL;
}

struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg)
{
	struct probe *probe = xnew(struct probe);
	struct look *look = xnew(struct look);

	assert(path && done);
	look->path = xstrdup(path);
	probe->done = done;
	probe->arg = arg;
	probe->call.done = on_looked;
	patient_start(prober->patient, &probe->call, xasprintf("reading %s", path), look);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	patient_cancel(&probe->call);
	free(probe);
}
