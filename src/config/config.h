/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration: an INI file read into a record. A member's name up to its first underscore is
 * the section, the rest is the key: cloud_api_key_file is "api_key_file" in [cloud]. Parser,
 * limits, defaults and the commented sample file are walks over the one table.
 */

#include "base/field.h"

struct config {
	char *http_listen;
	char *http_tls_dir;
	char *http_group;
	int http_loopback_access; /* enum method_access */
	bool http_require_token;
	int64_t http_max_requests;
	int64_t http_caller_requests;
	int64_t http_caller_connections;
	int64_t http_anonymous_requests;
	int64_t http_anonymous_connections;
	char *cloud_url;
	char *cloud_api_key_file;
	char *cloud_secret_key_file;
	char *cloud_ca_file;
	int64_t cloud_timeout;
	int64_t cloud_poll_min;
	int64_t cloud_poll_max;
	int64_t cloud_job_wait;
	int64_t cloud_parallel;
	char *cloud_zone;
	char *cloud_project_id; /* a UUID or CONFIG_ALL_PROJECTS */
	char *appliance_vm_id;
	char *device_buses;
	int64_t device_scan_interval;
	int64_t device_wait;
	int64_t device_probe_timeout;
	bool device_stable_names;
	int64_t device_hold_seconds;
	char *device_sysfs_root;
	char *device_dev_root;
	int export_engine;
	char *export_listen;
	char *export_tls_dir;
	char *export_qmp_socket;
	char *export_run_dir;
	char *store_url;
	char *store_password_file;
	int64_t store_retention;
	int64_t reconcile_interval;
	int64_t operations_max;
	int64_t operations_max_per_caller;
	bool operations_allow_vm_expunge;
	char *log_level; /* see log_levels_parse() */
};

#define CONFIG_ALL_PROJECTS "all"

/* In the flags of a field, above those of enum field_flag: a running daemon takes a new value over
 * when it reads its configuration anew. Without the flag the value needs a restart. */
#define CONFIG_LIVE (1U << 16)

extern const struct record config_record;

/* Where the values came from, so that a fault that shows later can be told with its line too. */
struct config_source {
	char *path;
	bool exists;
	int *lines; /* of the fields of config_record; 0: the file does not have the key */
};

/*
 * Defaults, then the file. A missing file is an error only if must_exist is set; otherwise the
 * defaults stand. Errors name file, line, key and the allowed values. Fills an initialised or
 * zeroed struct, and source, also on failure; the caller clears it. NULL: it is not wanted.
 */
int config_read(struct config *config, const char *path, bool must_exist,
		struct config_source *source, struct err *err);
void config_source_clear(struct config_source *source);
/* Puts "FILE:LINE: " in front of an error whose field is a member of struct config; "FILE: " if the
 * file does not have the key, and nothing if there is no file. */
void config_blame(const struct config_source *source, struct err *err);
/* "cloud.timeout"; the caller frees it. */
char *config_key(const struct field *field);
/*
 * Checks beyond a field's limits: unknown bus names, a minimum above its maximum, keys without an
 * address. The error's field is the member.
 */
int config_check(const struct config *config, struct err *err);
/* Bits of enum device_bus from device.buses. */
int config_buses(const struct config *config, unsigned *out, struct err *err);
/* The commented sample file. */
void config_sample(struct buf *out);
/* The manual page volume-daemon.conf(5), as mdoc. */
void config_manual(struct buf *out);
void config_clear(struct config *config);
