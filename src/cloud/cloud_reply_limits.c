/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading what CloudStack tells of limits.
 *
 * The row of an account or of a project says of each kind of resource how many it may have, has,
 * and may have besides: "volumelimit", "volumetotal" and "volumeavailable". The last one counts. It
 * is a text, a number or the word Unlimited, and negative if a limit was lowered below what there
 * is. Storage is counted in GiB, of which CloudStack leaves out the fractions in use, so the true
 * rest may be a little smaller.
 *
 * A hypervisor has a row for each of its versions, and CloudStack goes by the version of the VM's
 * host, which only administrators see. So the least and the most of all rows are kept.
 */

#include "cloud/cloud_reply_limits.h"

#include "cloud/cloud_error.h"

#define ROWS_MAX 1000
#define NAME_SIZE 256
#define UNLIMITED "Unlimited"

static const char *find_rows(struct cloud_reply *reply, const struct json *array,
			     const struct json **first)
{
	if (array && json_kind(array) != JSON_ARRAY)
		return "its list is not a list";
	for (const struct json *item = json_first(array); item; item = json_next(item)) {
		if (++reply->result.rows > ROWS_MAX)
			return "its list is too long";
	}
	*first = json_first(array);
	return NULL;
}

const char *cloud_reply_read_number(struct cloud_reply *reply, const struct json *payload,
				    const char *array)
{
	const struct json *first;

	return find_rows(reply, json_get(payload, array), &first);
}

static int64_t read_rest(const struct json *row, const char *name)
{
	const struct json *node = json_get(row, name);
	const char *text = json_text(node);
	int64_t rest;

	if (streq(text, UNLIMITED))
		return CLOUD_UNLIMITED;
	if (!node)
		return CLOUD_NOT_TOLD;
	if (text ? parse_i64(text, &rest) < 0 : json_integer(node, &rest) < 0)
		return CLOUD_NOT_TOLD;
	return rest > 0 ? rest : 0;
}

const char *cloud_reply_read_limits(struct cloud_reply *reply, const struct json *payload,
				    const char *array)
{
	const struct json *item;
	const char *why = find_rows(reply, json_get(payload, array), &item);
	char name[NAME_SIZE];

	if (why)
		return why;
	reply->limits = xcalloc(reply->result.rows + 1, sizeof(*reply->limits));
	for (; item; item = json_next(item)) {
		cloud_text_copy(name, sizeof(name), json_text(json_get(item, "name")));
		reply->limits[reply->count++] = (struct cloud_limits){
			.name = xstrdup(name),
			.volumes = read_rest(item, "volumeavailable"),
			.gib = read_rest(item, "primarystorageavailable"),
			.snapshots = read_rest(item, "snapshotavailable"),
		};
	}
	return NULL;
}

/* The array has had two names. */
const char *cloud_reply_read_disk_limit(struct cloud_reply *reply, const struct json *payload)
{
	const struct json *array = json_get(payload, "hypervisorCapabilities"), *item;
	struct cloud_result *result = &reply->result;
	const char *why;
	int64_t disks;

	if (!array)
		array = json_get(payload, "hypervisorcapability");
	why = find_rows(reply, array, &item);
	if (why)
		return why;
	for (; item; item = json_next(item)) {
		const struct json *node = json_get(item, "maxdatavolumeslimit");

		if (!node || json_integer(node, &disks) < 0 || disks <= 0)
			continue;
		if (!result->least_disks || disks < result->least_disks)
			result->least_disks = disks;
		if (disks > result->most_disks)
			result->most_disks = disks;
	}
	return NULL;
}
