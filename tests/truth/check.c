/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What must be so at every moment, and what must be so in the end.
 *
 * An answer is judged when it is given, against the kernel as it is then, not as the daemon last
 * saw it: the name in it must not lead to another disk than the volume's own. A name that leads
 * nowhere misleads nobody and is allowed; a disk that goes in the very instant in which it is told
 * counts as still there, since no program can be faster than that.
 */

#include <inttypes.h>

#include "base/json.h"
#include "core/rules/match.h"
#include "sim.h"

/* ---- at every moment ---- */

static void judge(struct sim *sim, const char *where, const char *volume_id, const char *path)
{
	const struct fake_volume *volume;
	const struct disk *disk;
	int index;

	if (!path || !volume_id || !str_has_prefix(path, "/dev/"))
		return;
	index = disk_index(path + strlen("/dev/"));
	if (index < 0) {
		sim_fail(sim, "%s: %s is no disk's name", where, path);
		return;
	}
	volume = sim_volume(sim, volume_id);
	disk = &sim->kernel.disks[index];
	if (!disk->there || (volume && streq(volume->disk, path + strlen("/dev/"))) ||
	    (volume && disk->left == volume && disk->left_ms == clock_mono_ms()))
		return;
	sim->wrong = true;
	sim_fail(sim, "%s: volume %s is said to be %s, which is another disk (it is %s)", where,
		 volume_id, path, volume && volume->disk[0] ? volume->disk : "not there");
}

static void judge_json(struct sim *sim, const char *where, const char *volume_id, const char *text)
{
	_cleanup_json_ struct json *object = text ? json_parse(text, strlen(text), NULL) : NULL;

	judge(sim, where, volume_id, json_text(json_get(object, "device_path")));
}

/* The name, and what libblkid saw: in these worlds every disk holds a file system with its volume's
 * id. */
static void judge_mapping(struct sim *sim, const char *where, const struct mapping_record *mapping)
{
	judge(sim, where, mapping->volume_id, mapping->device_path);
	if (mapping->filesystem && !streq(mapping->filesystem_uuid, mapping->volume_id))
		sim_fail(sim, "%s: the contents of volume %s are those of %s", where,
			 mapping->volume_id, str_or(mapping->filesystem_uuid, "another disk"));
}

/* A volume's device, for clients, is made of its mapping at the moment of the question. So it is
 * asked for when the mapping shows another device than the last time, not after each turn. */
static void check_volume_shown(struct sim *sim, const struct mapping_record *mapping)
{
	const struct fake_volume *known = sim_volume(sim, mapping->volume_id);
	char *path = known ? sim->shown_path[sim_number(known)] : NULL;
	struct volume_record volume = { 0 };

	if (path && streq(path, mapping->device_path))
		return;
	if (core_volume(sim->core, mapping->volume_id, &volume)) {
		if (path)
			snprintf(path, sizeof(sim->shown_path[0]), "%s", mapping->device_path);
		judge(sim, "volume", volume.volume_id, volume.device_path);
		judge_json(sim, "volume's linux_data", volume.volume_id, volume.linux_data);
	}
	record_clear(&volume_record, &volume);
}

void check_shown(struct sim *sim)
{
	const struct mapping *mapping;
	bool is_mapped[VOLUMES_MAX + 1] = { 0 };

	if (!sim->core)
		return;
	for (mapping = mapping_first(sim->core->model); mapping; mapping = mapping_next(mapping)) {
		struct mapping_record own = { 0 };
		const struct mapping_record *shown = mapping_show(sim->core->model, mapping, &own);

		judge_mapping(sim, "mapping", shown);
		check_volume_shown(sim, shown);
		if (sim_volume(sim, shown->volume_id))
			is_mapped[sim_number(sim_volume(sim, shown->volume_id))] = true;
		record_clear(&mapping_record, &own);
	}
	/* A volume that comes back under the same name may have another disk. */
	for (size_t i = 0; i <= VOLUMES_MAX; i++)
		if (!is_mapped[i])
			sim->shown_path[i][0] = '\0';
}

/* When it is said, the kernel shows it. */
static void judge_resize(struct sim *sim, const struct operation_record *operation)
{
	const char *text = str_or(operation->response, "{}");
	_cleanup_json_ struct json *response = json_parse(text, strlen(text), NULL);
	const char *path = str_or(json_text(json_get(response, "device_path")), "");
	const struct disk *disk;
	int64_t size = 0;

	judge(sim, "the response of a resize", operation->volume_id, path);
	if (!str_has_prefix(path, "/dev/") || disk_index(path + strlen("/dev/")) < 0)
		return;
	disk = &sim->kernel.disks[disk_index(path + strlen("/dev/"))];
	if (json_integer(json_get(response, "size"), &size) < 0 ||
	    (disk->there && disk->size != (uint64_t)size))
		sim_fail(sim,
			 "volume %s is said to have %" PRId64 " bytes as %s, which has %" PRIu64,
			 operation->volume_id, size, path, disk->size);
}

static void on_ready(struct sim *sim, const struct device_record *device)
{
	const struct fake_volume *volume = sim_volume(sim, device->volume_id);
	const struct operation *operation;

	sim_say(sim, "daemon: %s is here, as %s", device->volume_id, device->device_path);
	for (operation = operation_first(sim->core->engine); operation && volume;
	     operation = operation_after(operation)) {
		if (operation->has_disk && streq(operation->record.volume_id, device->volume_id))
			snprintf(sim->teller[sim_number(volume)], sizeof(sim->teller[0]), "%s",
				 operation->record.id);
	}
}

/* Whoever was told of a disk is told that it goes again. */
static void judge_failure(struct sim *sim, const struct operation_record *operation)
{
	const struct fake_volume *volume = sim_volume(sim, operation->volume_id);

	if (volume && operation->type == OPERATION_ATTACH &&
	    operation->status != OPERATION_COMPLETED &&
	    streq(sim->teller[sim_number(volume)], operation->id) &&
	    !strstr(str_or(operation->error, ""), "which was told as ready"))
		sim_fail(sim, "operation %s told its disk, and does not say that it goes: %s",
			 operation->id, str_or(operation->error, ""));
}

static void on_ended(struct sim *sim, const struct operation_record *operation)
{
	struct score *ours = &scores[RULE_OURS];
	bool here = operation->type == OPERATION_ATTACH && streq(operation->vm_id, APPLIANCE);

	for (size_t i = 0; i < sim->ask_count; i++) {
		if (!streq(sim->asks[i].operation_id, operation->id))
			continue;
		if (sim->asks[i].ended)
			sim_fail(sim, "operation %s has ended twice", operation->id);
		sim->asks[i].ended = true;
	}
	if (operation->type == OPERATION_RESIZE && operation->status == OPERATION_COMPLETED)
		judge_resize(sim, operation);
	if (operation->type == OPERATION_CLEANUP)
		judge_json(sim, "the response of a cleanup", operation->volume_id,
			   operation->response);
	judge_failure(sim, operation);
	if (!here)
		return;
	ours->asked++;
	if (operation->status == OPERATION_COMPLETED)
		ours->right++;
	else if (operation->error && strstr(operation->error, "step await-device") &&
		 streq(operation->error_code, "CONFLICT"))
		ours->ambiguous++;
	else
		ours->none++;
	judge_json(sim, "the operation's response", operation->volume_id, operation->response);
}

void check_event(struct sim *sim, const struct core_event *event)
{
	struct volume_record volume = { 0 };

	trace_event(sim, event);
	switch (event->type) {
	case EVENT_OPERATION_STARTED:
	case EVENT_OPERATION_CHANGED:
		sim_say(sim, "daemon: %s %s: %s %s", operation_type_names[event->operation->type],
			event->id, operation_status_names[event->operation->status],
			str_or(event->operation->step, ""));
		break;
	case EVENT_OPERATION_ENDED:
		sim_say(sim, "daemon: %s %s: %s, %s", operation_type_names[event->operation->type],
			event->id, operation_status_names[event->operation->status],
			str_or(event->operation->error, str_or(event->operation->response, "")));
		on_ended(sim, event->operation);
		break;
	case EVENT_DEVICE_ADDED:
	case EVENT_DEVICE_CHANGED:
		judge(sim, "device event", event->device->volume_id, event->device->device_path);
		break;
	case EVENT_DEVICE_READY:
		judge(sim, "ready event", event->device->volume_id, event->device->device_path);
		on_ready(sim, event->device);
		break;
	case EVENT_MAPPING_CHANGED:
		sim_say(sim, "daemon: volume %s is %s", event->id, event->mapping->device_path);
		judge_mapping(sim, "mapping event", event->mapping);
		break;
	case EVENT_VOLUME_ADDED:
	case EVENT_VOLUME_CHANGED:
		if (core_volume(sim->core, event->id, &volume))
			judge(sim, "volume event", event->id, volume.device_path);
		record_clear(&volume_record, &volume);
		break;
	case EVENT_DRIFT_FOUND:
		sim_say(sim, "daemon: drift: %s; %s", event->drift->found, event->drift->action);
		judge(sim, "drift", event->id, event->drift->device_path);
		break;
	case EVENT_MAPPING_REMOVED:
		sim_say(sim, "daemon: volume %s is no device any more", event->id);
		break;
	case EVENT_OPERATION_FORGOTTEN:
	case EVENT_HEALTH_CHANGED:
	case EVENT_TOKEN_REVOKED:
	case EVENT_DEVICE_REMOVED:
	case EVENT_VOLUME_REMOVED:
	case EVENT_EXPORT_ADDED: /* no machine of these schedules serves one */
	case EVENT_EXPORT_CHANGED:
	case EVENT_EXPORT_REMOVED:
	case EVENT_TYPE_COUNT:
		break;
	}
}

/* As the store has it. An undo that failed has been reported as such: what is left over then is for
 * a person. */
static void check_operation(struct sim *sim, const struct operation_record *operation)
{
	const struct fake_volume *volume = sim_volume(sim, operation->volume_id);

	if (volume && operation->needs_attention) {
		sim->meddled[sim_number(volume)] = true;
		sim->left_over = true;
	}
	if (!operation_status_is_final(operation->status))
		sim_fail(sim, "operation %s has not ended: %s, step %s", operation->id,
			 operation_status_names[operation->status], str_or(operation->step, ""));
}

static void judge_opened(struct sim *sim, const struct ask *ask,
			 const struct opened_device_record *opened)
{
	if (opened_is_of(opened->disk, ask->volume_id))
		return;
	sim->wrong = true;
	sim_fail(sim, "the disk that was opened for volume %s is another one", ask->volume_id);
}

void check_answer(struct sim *sim, const struct ask *ask, const struct answer *answer)
{
	trace_answer(sim, ask, answer);
	for (size_t i = 0; i < answer->count && !answer->err; i++) {
		const void *item = answer_item(answer, i);

		if (answer->record == &mapping_record) {
			judge_mapping(sim, methods[ask->method].name, item);
		} else if (answer->record == &device_record) {
			const struct device_record *device = item;

			judge(sim, methods[ask->method].name, device->volume_id,
			      device->device_path);
		} else if (answer->record == &opened_device_record) {
			judge_opened(sim, ask, item);
		} else if (answer->record == &volume_record) {
			const struct volume_record *volume = item;

			judge(sim, methods[ask->method].name, volume->volume_id,
			      volume->device_path);
		} else if (ask->method == METHOD_OPERATION_LIST) {
			check_operation(sim, item);
		}
	}
}

/* ---- in the end ---- */

/* A disk of another size than CloudStack's is nobody's: a resize whose job was lost, and whose
 * effect was not. */
static bool size_differs(const struct sim *sim, const struct fake_volume *volume)
{
	return volume->disk[0] &&
	       !match_size_fits(volume->size, sim->kernel.disks[disk_index(volume->disk)].size);
}

static void check_volume(struct sim *sim, const struct fake_volume *volume)
{
	const struct mapping *mapping = mapping_find(sim->core->model, volume->id);
	struct mapping_record own = { 0 };
	const struct mapping_record *shown;
	char path[32];

	/* What others did is found and followed, where disks say who they are. */
	if (sim->meddled[sim_number(volume)] && (volume->serial != SERIAL_OWN || !volume->disk[0]))
		return;
	if (!mapping) {
		if (!volume->gone && volume->vm_id[0] && !size_differs(sim, volume))
			sim_fail(sim, "volume %s is attached to %s and mapped to nothing",
				 volume->id, volume->vm_id);
		return;
	}
	shown = mapping_show(sim->core->model, mapping, &own);
	snprintf(path, sizeof(path), "/dev/%s", volume->disk);
	if (volume->gone || !streq(shown->vm_id, volume->vm_id))
		sim_fail(sim, "volume %s is mapped to VM %s, but attached to VM \"%s\"", volume->id,
			 shown->vm_id, volume->vm_id);
	else if (streq(volume->vm_id, APPLIANCE) && volume->disk[0] &&
		 !streq(shown->device_path, path) &&
		 !(sim->rebooted && volume->serial == SERIAL_NONE))
		sim_fail(sim, "volume %s is %s, but mapped to %s", volume->id, path,
			 shown->device_path);
	else if (streq(volume->vm_id, APPLIANCE) && volume->disk[0] &&
		 streq(shown->device_path, path) &&
		 shown->size != sim->kernel.disks[disk_index(volume->disk)].size)
		sim_fail(sim, "volume %s has %" PRIu64 " bytes as %s, but is mapped with %" PRIu64,
			 volume->id, sim->kernel.disks[disk_index(volume->disk)].size, path,
			 shown->size);
	record_clear(&mapping_record, &own);
}

/* One call makes at most one volume; what it could not take back it has reported. */
static void check_created(struct sim *sim, const struct ask *ask)
{
	const struct fake_volume *volume;
	size_t count = 0;

	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		if (!volume->gone && !sim->meddled[sim_number(volume)] &&
		    streq(volume->name, ask->name))
			count++;
	}
	if (count > 1)
		sim_fail(sim, "%zu volumes are called %s", count, ask->name);
}

void check_end(struct sim *sim)
{
	const struct fake_volume *volume;

	if (operation_count(sim->core->engine) > 0)
		sim_fail(sim, "operation %s does not end: step %s, waits for %s",
			 operation_first(sim->core->engine)->record.id,
			 operation_first(sim->core->engine)->record.step,
			 str_or(operation_first(sim->core->engine)->record.waits_for, "nothing"));
	if (server_busy(&sim->server) > 0)
		sim_fail(sim, "CloudStack is still busy");
	TAILQ_FOREACH(volume, &sim->server.volumes, entry)
		check_volume(sim, volume);
	for (size_t i = 0; i < sim->ask_count; i++) {
		if (sim->asks[i].method == METHOD_VOLUME_CREATE)
			check_created(sim, &sim->asks[i]);
		if (!sim->asks[i].call)
			continue;
		sim_fail(sim, "%s was never answered", methods[sim->asks[i].method].name);
	}
}
