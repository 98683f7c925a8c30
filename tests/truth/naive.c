/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Two rules people use, on the same schedules: "the first new disk after the call" and "a disk
 * whose size is within ten per cent". Each waits, as a careful script would, until CloudStack says
 * that the volume is attached, then for a disk that fits as long as the daemon would, and looks at
 * the kernel as it is.
 */

#include "sim.h"

struct score scores[RULE_COUNT];

void naive_begin(struct sim *sim, const struct ask *ask)
{
	struct fake_volume *volume = sim_volume(sim, ask->volume_id);

	if (!volume || volume->gone || volume->vm_id[0] || !streq(ask->vm_id, APPLIANCE))
		return;
	sim->naives[sim->naive_count++] = (struct naive){
		.volume = volume,
		.ask = ask,
		.after_diskseq = sim->kernel.last_diskseq,
	};
}

static void end(struct sim *sim, struct naive *naive)
{
	for (enum rule rule = RULE_FIRST_NEW; rule < RULE_COUNT && naive->done_ms; rule++) {
		scores[rule].asked++;
		scores[rule].none += naive->named[rule] ? 0 : 1;
	}
	*naive = sim->naives[--sim->naive_count];
}

void naive_stop(struct sim *sim)
{
	while (sim->naive_count > 0)
		end(sim, &sim->naives[0]);
}

/* The first that came after the call. */
static int first_new(const struct sim *sim, const struct naive *naive)
{
	int found = -1;

	for (int i = 1; i < DISKS_MAX; i++) {
		const struct disk *disk = &sim->kernel.disks[i];

		if (disk->there && disk->diskseq > naive->after_diskseq &&
		    (found < 0 || disk->diskseq < sim->kernel.disks[found].diskseq))
			found = i;
	}
	return found;
}

/* The first by name that is given to no other volume. */
static int same_size(struct sim *sim, const struct naive *naive)
{
	for (int i = 1; i < DISKS_MAX; i++) {
		const struct disk *disk = &sim->kernel.disks[i];
		uint64_t size = naive->volume->size;
		bool taken = sim->size_named[i] && sim->size_named[i] != naive->volume &&
			     sim->size_named[i]->vm_id[0] &&
			     sim->size_named_seq[i] == disk->diskseq;

		if (disk->there && !taken && disk->size >= size - size / 10 &&
		    disk->size <= size + size / 10) {
			sim->size_named[i] = naive->volume;
			sim->size_named_seq[i] = disk->diskseq;
			return i;
		}
	}
	return -1;
}

static void name(struct sim *sim, struct naive *naive, enum rule rule, int index)
{
	char text[16];

	if (index < 0)
		return;
	disk_name((size_t)index, text);
	naive->named[rule] = true;
	if (streq(naive->volume->disk, text))
		scores[rule].right++;
	else
		scores[rule].wrong++;
}

void naive_look(struct sim *sim)
{
	for (size_t i = 0; i < sim->naive_count; i++) {
		struct naive *naive = &sim->naives[i];

		if (streq(naive->volume->vm_id, APPLIANCE)) {
			if (!naive->done_ms)
				naive->done_ms = clock_mono_ms();
			if (!naive->named[RULE_FIRST_NEW])
				name(sim, naive, RULE_FIRST_NEW, first_new(sim, naive));
			if (!naive->named[RULE_SAME_SIZE])
				name(sim, naive, RULE_SAME_SIZE, same_size(sim, naive));
		}
		if ((naive->named[RULE_FIRST_NEW] && naive->named[RULE_SAME_SIZE]) ||
		    naive->ask->ended ||
		    (naive->done_ms && clock_mono_ms() - naive->done_ms > DEVICE_WAIT_MS))
			end(sim, &sim->naives[i--]);
	}
}
