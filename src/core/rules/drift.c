/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rules of drift.h. They ask nothing and change nothing, so every line of the table can be
 * tested. Their order is the order of trust: CloudStack decides where a volume is attached, the
 * kernel decides which disk is here, and our mapping follows both. If CloudStack and the kernel
 * contradict each other, neither is believed, and a person is told.
 */

#include "core/rules/drift.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cloud/cloud.h"
#include "core/rules/match.h"
#include "disk/device.h"

static void say(struct drift *out, enum drift_kind kind, enum drift_repair repair,
		const char *action, const char *format, ...) _printf_(5, 6);

static void say(struct drift *out, enum drift_kind kind, enum drift_repair repair,
		const char *action, const char *format, ...)
{
	va_list args;

	out->kind = kind;
	out->repair = repair;
	out->action = action;
	va_start(args, format);
	err_text_vformat(out->found, sizeof(out->found), format, args);
	va_end(args);
}

/* One note that CloudStack knows no attachment is enough. */
static enum drift_repair note_unless_noted(const struct mapping_record *mapping)
{
	return mapping && streq(mapping->cloudstack_state, "attached") ? REPAIR_NOTE : REPAIR_NONE;
}

static bool is_here(const struct drift_facts *facts, const char *vm_id)
{
	return facts->appliance_id && vm_id && strcasecmp(facts->appliance_id, vm_id) == 0;
}

/* Such a mapping says nothing of a disk that is here. */
static bool is_mapped_elsewhere(const struct drift_facts *facts)
{
	return facts->mapping && facts->appliance_id && !is_here(facts, facts->mapping->vm_id);
}

/* The slot is needed: in another one the hypervisor could plug the disk in a second time. */
static bool can_attach_again(const struct drift_facts *facts)
{
	const struct mapping_record *mapping = facts->mapping;

	return facts->cloud && mapping && is_here(facts, mapping->vm_id) &&
	       mapping->cloudstack_device_id > 0 &&
	       device_identity(facts->device, facts->volume_id) == IDENTITY_SAME;
}

static void judge_disk_remains(const struct drift_facts *facts, const char *says, struct drift *out)
{
	bool can_attach = can_attach_again(facts);
	enum drift_repair repair = note_unless_noted(facts->mapping);

	say(out, DRIFT_DEVICE_UNEXPECTED,
	    repair == REPAIR_NONE && can_attach ? REPAIR_ATTACH : repair,
	    can_attach
		    ? "stop using the disk; if it is still here after a while and nothing uses it, the volume is "
		      "attached again where its disk is, and can then be detached"
		    : "stop using the disk, then stop and start this VM, or ask CloudStack's administrator to "
		      "detach it",
	    "CloudStack says volume %s %s, but the kernel still shows it as %s", facts->volume_id,
	    says, facts->device->path);
}

static void judge_not_attached(const struct drift_facts *facts, struct drift *out)
{
	const char *says =
		facts->cloud
			? "is attached to nothing"
			: "is no longer visible (deleted, or moved to another account or project)";

	if (facts->device && !is_mapped_elsewhere(facts))
		judge_disk_remains(facts, says, out);
	else if (facts->mapping && facts->cloud)
		say(out, DRIFT_DETACHED_OUTSIDE, REPAIR_UNMAP, "its mapping is dropped",
		    "volume %s was detached from VM %s by another client of CloudStack",
		    facts->volume_id, facts->mapping->vm_id);
	else if (facts->mapping)
		say(out, DRIFT_DELETED_OUTSIDE, REPAIR_UNMAP, "its mapping is dropped",
		    "CloudStack no longer shows volume %s: it was deleted, or moved to another account or "
		    "project, by another client",
		    facts->volume_id);
}

static void judge_device(const struct drift_facts *facts, struct drift *out)
{
	const struct mapping_record *mapping = facts->mapping;
	const struct device *device = facts->device;

	if (!device)
		say(out, DRIFT_DEVICE_MISSING, REPAIR_NONE,
		    "if it stays so, detach the volume and attach it again",
		    "CloudStack says volume %s is attached here, but the kernel shows no disk that identifies "
		    "itself as this volume",
		    facts->volume_id);
	else if (!mapping || !streq(mapping->cloudstack_state, "attached"))
		say(out, DRIFT_ATTACHED_OUTSIDE, REPAIR_MAP, "the volume is mapped to its disk",
		    "volume %s was attached by another client of CloudStack and is %s",
		    facts->volume_id, device->path);
	else if (!streq(mapping->device_path, device->path))
		say(out, DRIFT_DEVICE_RENAMED, REPAIR_MAP, "its mapping follows the kernel",
		    "volume %s was %s and is %s", facts->volume_id, mapping->device_path,
		    device->path);
	else if (mapping->size != device->size)
		say(out, DRIFT_SIZE_CHANGED, REPAIR_MAP, "its mapping follows the kernel",
		    "volume %s had %" PRIu64 " bytes and has %" PRIu64, facts->volume_id,
		    mapping->size, device->size);
	else if (!match_size_fits(facts->cloud->size, device->size))
		say(out, DRIFT_SIZE_CHANGED, REPAIR_NONE,
		    "if it stays so, detach the volume and attach it again",
		    "volume %s has %" PRIu64 " bytes in CloudStack, but %s has %" PRIu64,
		    facts->volume_id, facts->cloud->size, device->path, device->size);
}

static void judge_attached_elsewhere(const struct drift_facts *facts, struct drift *out)
{
	const struct mapping_record *mapping = facts->mapping;
	const struct cloud_volume *cloud = facts->cloud;

	if (facts->device)
		say(out, DRIFT_DEVICE_UNEXPECTED, note_unless_noted(mapping),
		    "if that VM is this machine, set appliance.vm_id to its id; otherwise stop using the disk at "
		    "once: another VM may write to it",
		    "CloudStack says volume %s is attached to VM %s, but the kernel of this machine, VM %s, "
		    "shows it as %s",
		    facts->volume_id, cloud->vm_id, str_or(facts->appliance_id, "(unknown)"),
		    facts->device->path);
	else if (mapping && !streq(mapping->vm_id, cloud->vm_id))
		say(out, DRIFT_MOVED, REPAIR_MAP, "its mapping follows",
		    "volume %s was moved from VM %s to VM %s by another client of CloudStack",
		    facts->volume_id, mapping->vm_id, cloud->vm_id);
	else if (mapping && mapping->cloudstack_device_id != cloud->device_id)
		say(out, DRIFT_MOVED, REPAIR_MAP, "its mapping follows",
		    "volume %s was in slot %" PRId64 " of VM %s and is in slot %" PRId64,
		    facts->volume_id, mapping->cloudstack_device_id, cloud->vm_id,
		    cloud->device_id);
	else if (mapping && mapping->size != cloud->size)
		say(out, DRIFT_SIZE_CHANGED, REPAIR_MAP, "its mapping follows CloudStack",
		    "volume %s had %" PRIu64 " bytes and has %" PRIu64, facts->volume_id,
		    mapping->size, cloud->size);
}

void drift_judge(const struct drift_facts *facts, struct drift *out)
{
	const struct cloud_volume *cloud = facts->cloud;

	*out = (struct drift){ 0 };
	if (cloud && (cloud->job_id || streq(cloud->type, "ROOT")))
		return;
	if (!cloud || !cloud->vm_id)
		judge_not_attached(facts, out);
	else if (!is_here(facts, cloud->vm_id))
		judge_attached_elsewhere(facts, out);
	else if (facts->mapping && !is_here(facts, facts->mapping->vm_id))
		say(out, DRIFT_MOVED, facts->device ? REPAIR_MAP : REPAIR_UNMAP,
		    "its mapping follows",
		    "volume %s was moved from VM %s to this VM by another client of CloudStack",
		    facts->volume_id, facts->mapping->vm_id);
	else
		judge_device(facts, out);
}

void drift_judge_left_over(const struct drift_facts *facts, struct drift *out)
{
	const struct operation_record *origin = facts->origin;
	const struct cloud_volume *cloud = facts->cloud;

	*out = (struct drift){ 0 };
	if (!cloud && facts->is_lost && !facts->mapping)
		say(out, DRIFT_VOLUME_LOST, REPAIR_NONE,
		    "ask the administrator of CloudStack to bring the volume back, or delete it to give it up",
		    "CloudStack lost the job of operation %s and no longer lists volume %s, whose data is "
		    "probably still on the storage",
		    origin->id, facts->volume_id);
	/* A lost volume that is back is as the administrator wants it. */
	if (!cloud || facts->is_lost || cloud->job_id || facts->mapping)
		return;
	if (origin->type == OPERATION_ATTACH && origin->needs_attention &&
	    streq(cloud->vm_id, origin->vm_id)) {
		say(out, DRIFT_NOT_TAKEN_BACK, REPAIR_DETACH, "the volume is detached",
		    "operation %s failed, but volume %s is still attached to VM %s", origin->id,
		    facts->volume_id, origin->vm_id);
		return;
	}
	if (origin->type != OPERATION_CREATE || cloud->vm_id ||
	    (origin->status == OPERATION_COMPLETED && streq(origin->volume_id, facts->volume_id)))
		return;
	/* CloudStack makes a volume's storage when the volume is first attached; until then the
	 * volume cannot hold data. */
	if (streq(cloud->state, "Allocated"))
		say(out, DRIFT_ORPHAN, REPAIR_DELETE,
		    "the volume is deleted; it was never attached and holds no data",
		    "volume %s (%s) was left behind by operation %s", facts->volume_id, cloud->name,
		    origin->id);
	else
		say(out, DRIFT_ORPHAN, REPAIR_NONE,
		    "the volume may hold data: keep it, or delete it yourself",
		    "volume %s (%s) was left behind by operation %s", facts->volume_id, cloud->name,
		    origin->id);
}

static bool is_named_after(const struct cloud_volume *cloud, const struct operation_record *origin)
{
	size_t length = strlen(str_or(cloud->name, "")), id_length = strlen(origin->id);

	return length > id_length && streq(cloud->name + length - id_length, origin->id);
}

void drift_judge_name(const struct drift_facts *facts, struct drift *out)
{
	const struct operation_record *origin = facts->origin;
	const struct cloud_volume *cloud = facts->cloud;

	*out = (struct drift){ 0 };
	if (cloud && !cloud->job_id && origin->type == OPERATION_CREATE &&
	    origin->status == OPERATION_COMPLETED && streq(origin->volume_id, facts->volume_id) &&
	    is_named_after(cloud, origin))
		say(out, DRIFT_NOT_RENAMED, REPAIR_NONE,
		    "the volume works as well under this name; rename it in CloudStack",
		    "in CloudStack, volume %s still has the name under which operation %s created it",
		    facts->volume_id, origin->id);
}
