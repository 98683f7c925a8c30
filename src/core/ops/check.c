/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The checks. A judge says no only if CloudStack, or a step, would say no: if a fact is as good as
 * unknown, as the state of a volume that CloudStack works on, the judge lets the operation go on,
 * and the operation finds out.
 */

#include "core/ops/check.h"

#include <inttypes.h>

#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/volume.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"
#include "core/ops/refusal.h"
#include "core/ops/vm_idle.h"

/* ---- the list ---- */

int op_check(const struct operation *operation, const struct op_facts *facts, struct err *err)
{
	for (const struct op_check *const *check = operation->kind->checks->list; *check; check++) {
		if (((*check)->needs & ~facts->known) == 0 &&
		    (*check)->judge(operation, facts, err) < 0)
			return -1;
	}
	return 0;
}

unsigned op_check_needs(const struct operation *operation)
{
	unsigned needs = 0;

	for (const struct op_check *const *check = operation->kind->checks->list; *check; check++)
		needs |= (*check)->needs;
	return needs;
}

bool op_volume_is_settled(const struct op_facts *facts)
{
	return facts->volume && !cloud_volume_is_busy(facts->volume);
}

const struct cloud_volume *op_check_volume_or_end(struct operation *operation,
						  const struct cloud_result *result)
{
	struct op_facts facts = { .known = FACT_VOLUME };
	struct err err;

	if (!cloud_step_succeeded_or_end(operation, result))
		return NULL;
	facts.volume = cloud_step_volume(operation, result, operation->record.volume_id);
	if (op_check(operation, &facts, &err) < 0)
		operation_fail(operation, &err);
	else if (!op_volume_is_settled(&facts))
		cloud_step_busy(operation, facts.volume);
	else
		return facts.volume;
	return NULL;
}

/* ---- the volume ---- */

static int judge_exists(const struct operation *operation, const struct op_facts *facts,
			struct err *err)
{
	return facts->volume
		       ? 0
		       : volume_missing(operation->ops->model, operation->record.volume_id, err);
}

const struct op_check check_volume_exists = { "volume", FACT_VOLUME, judge_exists };

static int judge_kept(const struct operation *operation, const struct op_facts *facts,
		      struct err *err)
{
	const struct cloud_volume *volume = facts->volume;

	if (!volume || !cloud_volume_is_destroyed(volume))
		return 0;
	return err_set(
		err, ERR_CONFLICT,
		"volume %s is deleted in CloudStack, where it is %s; until its data is gone an "
		"administrator of CloudStack can bring it back (recoverVolume)",
		volume->id, volume->state);
}

const struct op_check check_volume_kept = { "volume-deleted", FACT_VOLUME, judge_kept };

static int judge_own_root(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	if (!facts->volume || !volume_is_own_root(operation->ops->model, facts->volume))
		return 0;
	return err_set(err, ERR_CONFLICT, "volume %s carries this system; it is never detached",
		       operation->record.volume_id);
}

const struct op_check check_own_root = { "own-system", FACT_VOLUME, judge_own_root };

/* In the words that its refusal by CloudStack gets. */
static int refuse(const struct operation *operation, const char *vm_id, enum err_reason reason,
		  const char *cause, struct err *err)
{
	err_set_reason(err, reason, ERR_CLOUD, "%s", cause);
	refusal_explain(operation, vm_id, err);
	return -1;
}

/* CloudStack would refuse the deletion only after the detachment. */
static int judge_protection(const struct operation *operation, const struct op_facts *facts,
			    struct err *err)
{
	if (!facts->volume || !facts->volume->is_protected)
		return 0;
	return refuse(operation, operation->record.vm_id, ERR_REASON_DELETE_PROTECTION,
		      "the volume is protected from deletion", err);
}

const struct op_check check_protection = { "delete-protection", FACT_VOLUME, judge_protection };

/* ---- a new volume ---- */

static void wish_of(const struct operation *operation, struct op_wish *wish)
{
	*wish = (struct op_wish){ 0 };
	if (operation->kind->checks->wish)
		operation->kind->checks->wish(operation, wish);
}

static int judge_new_zone(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	return facts->has_zone ? 0
			       : refuse(operation, NULL, ERR_REASON_UNKNOWN_ZONE,
					"there is no such zone", err);
}

const struct op_check check_new_zone = { "zone", FACT_ZONE, judge_new_zone };

static int judge_offering(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	struct op_wish wish;

	wish_of(operation, &wish);
	if (!facts->has_offering)
		return refuse(operation, NULL, ERR_REASON_UNKNOWN_OFFERING,
			      "there is no such disk offering", err);
	if (!facts->offering_size)
		return 0;
	return err_set(err, ERR_CLOUD,
		       "the disk offering %s makes volumes of %" PRIu64 " GiB and takes no other "
		       "size, not even the same; choose an offering of volumes with any size",
		       wish.offering_id, facts->offering_size / CLOUD_GIB);
}

const struct op_check check_offering = { "offering", FACT_OFFERING, judge_offering };

/* ---- its VMs ---- */

static int judge_vm_exists(const struct operation *operation, const struct op_facts *facts,
			   struct err *err)
{
	struct op_wish wish;

	wish_of(operation, &wish);
	return facts->to ? 0
			 : refuse(operation, wish.to_vm_id, ERR_REASON_UNKNOWN_VM,
				  "there is no such VM", err);
}

const struct op_check check_vm_exists = { "vm", FACT_TO, judge_vm_exists };

static int judge_vm_state(const struct operation *operation, const struct op_facts *facts,
			  struct err *err)
{
	const struct cloud_vm *vm = facts->to;

	if (!vm || vm->job_id || streq(vm->state, "Running") || streq(vm->state, "Stopped"))
		return 0;
	return err_set(
		err, ERR_CONFLICT,
		"VM %s is %s; CloudStack attaches volumes to VMs that are Running or Stopped",
		vm->id, str_or(vm->state, "in an unknown state"));
}

const struct op_check check_vm_state = { "vm-state", FACT_TO, judge_vm_state };

static int judge_zone(const struct operation *operation, const struct op_facts *facts,
		      struct err *err)
{
	const struct cloud_volume *volume = facts->volume;
	const struct cloud_vm *vm = facts->to;

	if (!volume || !vm || !volume->zone_id || !vm->zone_id ||
	    streq(volume->zone_id, vm->zone_id))
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "volume %s is in zone %s and VM %s in zone %s; CloudStack attaches a volume "
		       "only to a VM of its own zone",
		       volume->id, volume->zone_id, vm->id, vm->zone_id);
}

const struct op_check check_zone = { "zone", FACT_VOLUME | FACT_TO, judge_zone };

static int judge_owner(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	const struct cloud_volume *volume = facts->volume;
	const struct cloud_vm *vm = facts->to;

	if (!volume || !vm || !volume->owner || !vm->owner || streq(volume->owner, vm->owner))
		return 0;
	return refuse(operation, vm->id, ERR_REASON_OTHER_ACCOUNT,
		      "the volume and the VM belong to different accounts", err);
}

const struct op_check check_owner = { "owner", FACT_VOLUME | FACT_TO, judge_owner };

/* A volume that is attached to no VM has no VM snapshots in its way. */
static int judge_from_snapshots(const struct operation *operation, const struct op_facts *facts,
				struct err *err)
{
	if (!facts->volume || !facts->volume->vm_id || facts->from_snapshots == 0)
		return 0;
	return refuse(operation, facts->volume->vm_id, ERR_REASON_VM_SNAPSHOTS,
		      "the VM has VM snapshots", err);
}

const struct op_check check_from_snapshots = { "vm-snapshots", FACT_VOLUME | FACT_FROM_SNAPSHOTS,
					       judge_from_snapshots };

static int judge_to_snapshots(const struct operation *operation, const struct op_facts *facts,
			      struct err *err)
{
	struct op_wish wish;

	wish_of(operation, &wish);
	return facts->to_snapshots == 0 ? 0
					: refuse(operation, wish.to_vm_id, ERR_REASON_VM_SNAPSHOTS,
						 "the VM has VM snapshots", err);
}

const struct op_check check_to_snapshots = { "vm-snapshots", FACT_TO_SNAPSHOTS,
					     judge_to_snapshots };

/* Only CloudStack knows which version of the hypervisor counts. */
static int judge_device_slot(const struct operation *operation, const struct op_facts *facts,
			     struct err *err)
{
	struct op_wish wish;

	wish_of(operation, &wish);
	if (!facts->most_disks || facts->to_data_disks < (size_t)facts->most_disks)
		return 0;
	return refuse(operation, wish.to_vm_id, ERR_REASON_NO_DEVICE_SLOT,
		      "the VM has as many disks as it takes", err);
}

const struct op_check check_device_slot = { "device-slot", FACT_TO_DISKS | FACT_TO_SLOTS,
					    judge_device_slot };

static int judge_root_state(const struct operation *operation, const struct op_facts *facts,
			    struct err *err)
{
	const struct cloud_vm *vm = facts->from;

	if (!op_volume_is_settled(facts) || !vm || !streq(facts->volume->type, "ROOT") ||
	    !streq(vm->state, "Running"))
		return 0;
	return refuse(operation, vm->id, ERR_REASON_VM_RUNNING, "the VM runs", err);
}

const struct op_check check_root_state = { "vm-state", FACT_VOLUME | FACT_FROM, judge_root_state };

/* ---- the account ---- */

static bool exceeds(int64_t left, uint64_t more)
{
	return left != CLOUD_UNLIMITED && left != CLOUD_NOT_TOLD && more > (uint64_t)left;
}

static int refuse_quota(const struct operation *operation, const struct op_facts *facts,
			uint64_t more, const char *unit, int64_t left, struct err *err)
{
	_cleanup_free_ char *cause =
		xasprintf("it takes %" PRIu64 " %s more, and CloudStack allows %s only %lld", more,
			  unit, str_empty(facts->limits->name) ? "its owner" : facts->limits->name,
			  (long long)left);

	return refuse(operation, operation->record.vm_id, ERR_REASON_QUOTA, cause, err);
}

static uint64_t growth(const struct op_facts *facts, const struct op_wish *wish)
{
	uint64_t now = facts->volume ? cloud_gib(facts->volume->size) : 0;

	return wish->gib > now ? wish->gib - now : 0;
}

static int judge_quota(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	const struct cloud_limits *limits = facts->limits;
	struct op_wish wish;
	uint64_t gib;

	wish_of(operation, &wish);
	if (!limits)
		return 0;
	gib = growth(facts, &wish);
	if (wish.creates && exceeds(limits->volumes, 1))
		return refuse_quota(operation, facts, 1, "volume", limits->volumes, err);
	if (exceeds(limits->gib, gib))
		return refuse_quota(operation, facts, gib, "GiB of primary storage", limits->gib,
				    err);
	if (operation->record.type == OPERATION_SNAPSHOT && exceeds(limits->snapshots, 1))
		return refuse_quota(operation, facts, 1, "snapshot", limits->snapshots, err);
	return 0;
}

const struct op_check check_quota = { "quota", FACT_LIMITS, judge_quota };

static int judge_rights(const struct operation *operation, const struct op_facts *facts,
			struct err *err)
{
	const struct step *step;

	for (size_t i = 0; (step = operation_kind_step(operation->kind, i)); i++) {
		if (!(facts->forbidden & UINT64_C(1) << i) ||
		    (step->applies && !step->applies(operation)))
			continue;
		return err_set_reason(
			err, ERR_REASON_FORBIDDEN_COMMAND, ERR_CLOUD,
			"step %s needs CloudStack's command %s, which the role of the account does not "
			"allow, or the server does not know. Ask an administrator of CloudStack to add "
			"the command to the role",
			step->name, step->command);
	}
	return 0;
}

const struct op_check check_rights = { "rights", FACT_COMMANDS, judge_rights };

/* ---- this machine ---- */

static int pass_on(const struct err *found, struct err *err)
{
	if (!found || !found->code)
		return 0;
	*err = *found;
	return -1;
}

static int judge_users(const struct operation *operation, const struct op_facts *facts,
		       struct err *err)
{
	return pass_on(facts->users, err);
}

const struct op_check check_disk_users = { "disk-users", FACT_USERS, judge_users };

static int judge_clients(const struct operation *operation, const struct op_facts *facts,
			 struct err *err)
{
	return pass_on(facts->clients, err);
}

const struct op_check check_clients = { "nbd-clients", FACT_NBD_CLIENTS, judge_clients };
