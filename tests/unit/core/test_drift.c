/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of core/rules/drift.h, line by line: what the three say, and the verdict. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/rules/drift.h"

#define VOLUME "11111111-2222-4333-8444-555555555555"
#define SERIAL "11111111222243338444"
#define HERE "aaaaaaaa-0000-4000-8000-00000000000a"
#define THERE "bbbbbbbb-0000-4000-8000-00000000000b"
#define GIB (UINT64_C(1) << 30)

struct row {
	const char *name;
	/* NULL: the volume does not exist; "": attached to nothing */
	const char *cloud_vm;
	const char *mapped_vm, *path, *cloud_state; /* NULL: no mapping */
	const char *device;
	enum drift_kind kind;
	enum drift_repair repair;
	uint64_t cloud_gib, mapped_gib, device_gib; /* 0: 5 */
	int64_t slot;                               /* CloudStack's; the mapping says 1 */
	const char *job_id, *type;
	bool proven; /* the disk identifies itself as the volume */
};

static uint64_t gib(uint64_t count)
{
	return (count ? count : 5) * GIB;
}

static void judge(const struct row *row, const char *appliance_id, struct drift *out)
{
	char cloud_vm[64], mapped_vm[64], path[64], state[64], job[64], type[64];
	struct cloud_volume cloud = { .vm_id = cloud_vm,
				      .size = gib(row->cloud_gib),
				      .device_id = row->slot ? row->slot : 1 };
	struct mapping_record mapping = {
		.vm_id = mapped_vm,
		.device_path = path,
		.cloudstack_state = state,
		.size = gib(row->mapped_gib),
		.cloudstack_device_id = 1,
	};
	struct device device = { .size = gib(row->device_gib) };
	struct drift_facts facts = { .volume_id = VOLUME, .appliance_id = appliance_id };

	snprintf(cloud_vm, sizeof(cloud_vm), "%s", row->cloud_vm ? row->cloud_vm : "");
	snprintf(mapped_vm, sizeof(mapped_vm), "%s", row->mapped_vm ? row->mapped_vm : "");
	snprintf(path, sizeof(path), "%s", row->path ? row->path : "");
	snprintf(state, sizeof(state), "%s", row->cloud_state ? row->cloud_state : "attached");
	device.has_identity = row->proven;
	snprintf(device.identity, sizeof(device.identity), "%s", row->proven ? SERIAL : "");
	snprintf(device.path, sizeof(device.path), "%s", row->device ? row->device : "");
	snprintf(job, sizeof(job), "%s", row->job_id ? row->job_id : "");
	snprintf(type, sizeof(type), "%s", row->type ? row->type : "DATADISK");
	cloud.type = type;
	if (!*cloud_vm)
		cloud.vm_id = NULL;
	if (*job)
		cloud.job_id = job;
	facts.cloud = row->cloud_vm ? &cloud : NULL;
	facts.mapping = row->mapped_vm ? &mapping : NULL;
	facts.device = row->device ? &device : NULL;
	drift_judge(&facts, out);
}

static const struct row rows[] = {
	{ "unknown to all", NULL, NULL, NULL, NULL, NULL, DRIFT_NONE, REPAIR_NONE },
	{ "detached", "", NULL, NULL, NULL, NULL, DRIFT_NONE, REPAIR_NONE },
	{ "as it should be", HERE, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_NONE, REPAIR_NONE },
	{ "as it should be elsewhere", THERE, THERE, "remote", NULL, NULL, DRIFT_NONE,
	  REPAIR_NONE },
	{ "elsewhere, never ours", THERE, NULL, NULL, NULL, NULL, DRIFT_NONE, REPAIR_NONE },
	{ "a little larger", HERE, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_NONE, REPAIR_NONE, 5,
	  5, 5 },
	{ "a root disk", HERE, NULL, NULL, NULL, "/dev/vda", DRIFT_NONE, REPAIR_NONE,
	  .type = "ROOT" },
	{ "a job under way", "", HERE, "/dev/vdb", NULL, NULL, DRIFT_NONE, REPAIR_NONE,
	  .job_id = "j" },
	{ "attached", HERE, NULL, NULL, NULL, "/dev/vdb", DRIFT_ATTACHED_OUTSIDE, REPAIR_MAP },
	{ "known again", HERE, HERE, "/dev/vdb", "detached", "/dev/vdb", DRIFT_ATTACHED_OUTSIDE,
	  REPAIR_MAP },
	{ "detached here", "", HERE, "/dev/vdb", NULL, NULL, DRIFT_DETACHED_OUTSIDE, REPAIR_UNMAP },
	{ "detached there", "", THERE, "remote", NULL, NULL, DRIFT_DETACHED_OUTSIDE, REPAIR_UNMAP },
	{ "deleted", NULL, HERE, "/dev/vdb", NULL, NULL, DRIFT_DELETED_OUTSIDE, REPAIR_UNMAP },
	{ "away", THERE, HERE, "/dev/vdb", NULL, NULL, DRIFT_MOVED, REPAIR_MAP },
	{ "to us", HERE, THERE, "remote", NULL, "/dev/vdb", DRIFT_MOVED, REPAIR_MAP },
	{ "to us, no disk yet", HERE, THERE, "remote", NULL, NULL, DRIFT_MOVED, REPAIR_UNMAP },
	{ "another slot", THERE, THERE, "remote", NULL, NULL, DRIFT_MOVED, REPAIR_MAP, .slot = 4 },
	{ "renamed", HERE, HERE, "/dev/vdb", NULL, "/dev/vdc", DRIFT_DEVICE_RENAMED, REPAIR_MAP },
	{ "no disk", HERE, HERE, "gone", NULL, NULL, DRIFT_DEVICE_MISSING, REPAIR_NONE },
	{ "no disk, no mapping", HERE, NULL, NULL, NULL, NULL, DRIFT_DEVICE_MISSING, REPAIR_NONE },
	{ "still there", "", HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_DEVICE_UNEXPECTED,
	  REPAIR_NOTE },
	{ "still there, noted", "", HERE, "/dev/vdb", "detached", "/dev/vdb",
	  DRIFT_DEVICE_UNEXPECTED, REPAIR_NONE },
	{ "still there, noted, proven", "", HERE, "/dev/vdb", "detached", "/dev/vdb",
	  DRIFT_DEVICE_UNEXPECTED, REPAIR_ATTACH, .proven = true },
	{ "here, but mapped elsewhere", "", THERE, "remote", NULL, "/dev/vdb",
	  DRIFT_DETACHED_OUTSIDE, REPAIR_UNMAP, .proven = true },
	{ "there, noted, but deleted", NULL, HERE, "/dev/vdb", "detached", "/dev/vdb",
	  DRIFT_DEVICE_UNEXPECTED, REPAIR_NONE, .proven = true },
	{ "there, never ours, proven", "", NULL, NULL, NULL, "/dev/vdb", DRIFT_DEVICE_UNEXPECTED,
	  REPAIR_NONE, .proven = true },
	{ "there, never ours", "", NULL, NULL, NULL, "/dev/vdb", DRIFT_DEVICE_UNEXPECTED,
	  REPAIR_NONE },
	{ "there, but deleted", NULL, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_DEVICE_UNEXPECTED,
	  REPAIR_NOTE },
	{ "here and there", THERE, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_DEVICE_UNEXPECTED,
	  REPAIR_NOTE },
	{ "grown", HERE, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_SIZE_CHANGED, REPAIR_MAP, 8, 5,
	  8 },
	{ "grown, kernel unaware", HERE, HERE, "/dev/vdb", NULL, "/dev/vdb", DRIFT_SIZE_CHANGED,
	  REPAIR_NONE, 8, 5, 5 },
	{ "grown there", THERE, THERE, "remote", NULL, NULL, DRIFT_SIZE_CHANGED, REPAIR_MAP, 8, 5,
	  0 },
};

static void every_row(void **state)
{
	struct drift drift;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		judge(&rows[i], HERE, &drift);
		if (drift.kind != rows[i].kind || drift.repair != rows[i].repair)
			fail_msg("%s: %s, repair %d: %s", rows[i].name,
				 drift_kind_names[drift.kind], (int)drift.repair, drift.found);
		assert_int_equal(drift.found[0] != '\0', drift.kind != DRIFT_NONE);
		assert_int_equal(drift.action != NULL, drift.kind != DRIFT_NONE);
	}
}

/* Where the appliance is unknown nothing is "here", so nothing can be missing or unmapped here. */
static void no_appliance(void **state)
{
	struct row row = { "attached", HERE, NULL, NULL, NULL, NULL, DRIFT_NONE, REPAIR_NONE };
	struct drift drift;

	judge(&row, NULL, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
}

static void left_overs(void **state)
{
	char id[] = "op-1", vm[] = HERE, volume[] = VOLUME, ready[] = "Ready",
	     allocated[] = "Allocated";
	struct operation_record origin = {
		.id = id,
		.volume_id = volume,
		.vm_id = vm,
		.type = OPERATION_ATTACH,
		.status = OPERATION_FAILED,
	};
	struct cloud_volume cloud = { .vm_id = vm, .state = ready };
	struct mapping_record mapping = { .vm_id = vm };
	struct drift_facts facts = {
		.volume_id = VOLUME, .appliance_id = HERE, .cloud = &cloud, .origin = &origin
	};
	struct drift drift;

	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE); /* it left nothing: somebody else attached it */
	origin.needs_attention = true;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NOT_TAKEN_BACK);
	assert_int_equal(drift.repair, REPAIR_DETACH);
	facts.mapping = &mapping; /* attached again by a later operation */
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
	facts.mapping = NULL;
	origin.type = OPERATION_CREATE;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE); /* in use */
	cloud.vm_id = NULL;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_ORPHAN);
	assert_int_equal(drift.repair, REPAIR_NONE); /* may hold data */
	cloud.state = allocated;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.repair, REPAIR_DELETE);
	origin.status = OPERATION_COMPLETED;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE); /* it is the very volume that was asked for */
	facts.cloud = NULL;
	origin.status = OPERATION_FAILED;
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
}

static void names(void **state)
{
	char id[] = "op-1", volume[] = VOLUME, name[] = "data-op-1", plain[] = "data", vm[] = HERE;
	struct operation_record origin = {
		.id = id,
		.volume_id = volume,
		.type = OPERATION_CREATE,
		.status = OPERATION_COMPLETED,
	};
	struct cloud_volume cloud = { .name = name, .vm_id = vm };
	struct drift_facts facts = { .volume_id = VOLUME, .cloud = &cloud, .origin = &origin };
	struct drift drift;

	drift_judge_name(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NOT_RENAMED);
	assert_int_equal(drift.repair, REPAIR_NONE);
	assert_non_null(strstr(drift.found, id));
	cloud.name = plain; /* renamed meanwhile */
	drift_judge_name(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
	cloud.name = name;
	facts.volume_id = "another volume that was named so";
	drift_judge_name(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
	facts.volume_id = VOLUME;
	origin.status = OPERATION_FAILED; /* the volume is left over */
	drift_judge_name(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
	facts.cloud = NULL;
	origin.status = OPERATION_COMPLETED;
	drift_judge_name(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
}

static void lost_volume(void **state)
{
	char id[] = "op-1", vm[] = HERE, volume[] = VOLUME;
	const struct operation_record origin = {
		.id = id,
		.volume_id = volume,
		.vm_id = vm,
		.type = OPERATION_ATTACH,
		.status = OPERATION_FAILED,
		.needs_attention = true,
	};
	const struct cloud_volume cloud = { .vm_id = vm };
	const struct mapping_record mapping = { .vm_id = vm };
	struct drift_facts facts = {
		.volume_id = VOLUME, .appliance_id = HERE, .origin = &origin, .is_lost = true
	};
	struct drift drift;

	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_VOLUME_LOST);
	assert_int_equal(drift.repair, REPAIR_NONE);
	facts.mapping = &mapping; /* which has to go first, as every mapping of no volume */
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
	facts.mapping = NULL;
	facts.cloud = &cloud; /* it is back, and stays attached */
	drift_judge_left_over(&facts, &drift);
	assert_int_equal(drift.kind, DRIFT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),   cmocka_unit_test(no_appliance),
		cmocka_unit_test(left_overs),  cmocka_unit_test(names),
		cmocka_unit_test(lost_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
