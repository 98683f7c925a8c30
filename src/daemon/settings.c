/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The list of checks below is the only one. Each check belongs to a key, whose line the error
 * names; the check itself is the function with which the module that uses the value refuses it.
 * What only the attempt can tell (an address that is taken, a database that is away) is left to the
 * start.
 */

#include "daemon/settings.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

#include "api/rest/rest.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "daemon/access.h"
#include "disk/sysblock.h"
#include "io/address.h"
#include "store/open.h"

#define EXPORT_MS 10000 /* for one change of an export */
/* Of a group with the names of all its members. */
#define GROUP_SIZE_MIN ((size_t)1 << 10)
#define GROUP_SIZE_MAX ((size_t)16 << 20)

int settings_read_key(const char *file, const char *credential, enum secret_kind kind,
		      struct secret **out, struct err *err)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_free_ char *path = NULL;

	if (!file && directory) {
		path = xasprintf("%s/%s", directory, credential);
		file = access(path, F_OK) == 0 ? path : NULL;
	}
	if (!file)
		return 0;
	*out = secret_read(file, kind, err);
	return *out ? 0 : -1;
}

void settings_exporter_options(const struct settings *settings, struct exporter_options *out)
{
	const struct config *config = &settings->config;

	*out = (struct exporter_options){
		.engine = (enum export_engine)config->export_engine,
		.run_dir = config->export_run_dir,
		.qmp_socket = config->export_qmp_socket,
		.listen = config->export_listen,
		.group = settings->group,
		.tls_dir = config->export_tls_dir,
		.proc_root = "/proc",
		.sysfs_root = config->device_sysfs_root,
		.timeout_ms = EXPORT_MS,
	};
}

/* ---- the checks ---- */

static int check_listen(struct settings *settings, struct err *err)
{
	const struct rest_options options = {
		.listen = settings->config.http_listen,
		.tls_dir = settings->config.http_tls_dir,
		.require_token = settings->config.http_require_token,
	};

	return rest_check_listen(&options, err);
}

static int check_certificate(struct settings *settings, struct err *err)
{
	const char *tls_dir = settings->config.http_tls_dir;

	return tls_dir ? rest_check_certificate(tls_dir, err) : 0;
}

static int check_api_key(struct settings *settings, struct err *err)
{
	return settings_read_key(settings->config.cloud_api_key_file, "cloudstack-api-key",
				 SECRET_KEY, &settings->api_key, err);
}

static int check_secret_key(struct settings *settings, struct err *err)
{
	return settings_read_key(settings->config.cloud_secret_key_file, "cloudstack-secret-key",
				 SECRET_KEY, &settings->secret_key, err);
}

static int check_store(struct settings *settings, struct err *err)
{
	return store_check_url(settings->config.store_url, err);
}

static int check_store_password(struct settings *settings, struct err *err)
{
	return settings_read_key(settings->config.store_password_file, "store-password",
				 SECRET_PASSWORD, &settings->store_password, err);
}

/* Without an address a daemon can start, and its volumes cannot be changed. If there is an address,
 * the keys must be there too, unless a row of the store can hold them. */
static int check_cloud(struct settings *settings, struct err *err)
{
	const struct config *config = &settings->config;

	if (!config->cloud_url)
		return 0;
	if (cloud_check_url(config->cloud_url, err) < 0)
		return -1;
	if (store_url_has_access(config->store_url))
		return 0;
	return access_check_values(config->cloud_url, settings->api_key, settings->secret_key,
				   false, err);
}

static int check_ca_file(struct settings *settings, struct err *err)
{
	const char *path = settings->config.cloud_ca_file;

	if (!path || access(path, R_OK) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "%s, which cloud.ca_file names, cannot be read: %s", path,
		       strerror(errno));
}

static int check_disks(struct settings *settings, struct err *err)
{
	return sysblock_check(settings->config.device_sysfs_root, settings->config.device_dev_root,
			      err);
}

static int check_exports(struct settings *settings, struct err *err)
{
	struct exporter_options options;

	settings_exporter_options(settings, &options);
	return options.engine == EXPORT_ENGINE_NONE ? 0 : exporter_check(&options, err);
}

static int check_export_certificate(struct settings *settings, struct err *err)
{
	const struct config *config = &settings->config;

	if (config->export_engine == EXPORT_ENGINE_NONE || !config->export_tls_dir)
		return 0;
	return exporter_check_certificate(config->export_tls_dir, err);
}

/* (gid_t)-1: there is no such group. A group of a directory server may have thousands of members,
 * and they are all read with it. */
static gid_t group_id(const char *name)
{
	_cleanup_free_ char *text = NULL;
	struct group entry, *found = NULL;
	size_t size = GROUP_SIZE_MIN;
	int r;

	do {
		text = xrealloc(text, size);
		r = getgrnam_r(name, &entry, text, size, &found);
		size *= 2;
	} while (r == ERANGE && size <= GROUP_SIZE_MAX);
	return r == 0 && found ? found->gr_gid : (gid_t)-1;
}

/* A group that is missing keeps users out, which is no reason to keep the daemon from starting. */
static int find_group(struct settings *settings, struct err *err)
{
	const struct config *config = &settings->config;

	settings->group = group_id(config->http_group);
	if (settings->group == (gid_t)-1 &&
	    (strstr(config->http_listen, "unix:") || address_all_unix(config->export_listen)))
		log_warning(
			"there is no group %s, so only root may connect to unix sockets of REST and NBD: make it with systemd-sysusers or groupadd, or set http.group",
			config->http_group);
	return 0;
}

static const struct check {
	const char *member; /* of struct config, which is blamed */
	int (*run)(struct settings *settings, struct err *err);
} checks[] = {
	{ "http_listen", check_listen },
	{ "http_tls_dir", check_certificate },
	{ "http_group", find_group },
	{ "store_url", check_store },
	{ "store_password_file", check_store_password },
	{ "cloud_api_key_file", check_api_key },
	{ "cloud_secret_key_file", check_secret_key },
	{ "cloud_url", check_cloud },
	{ "cloud_ca_file", check_ca_file },
	{ "device_sysfs_root", check_disks },
	{ "export_listen", check_exports },
	{ "export_tls_dir", check_export_certificate },
};

static int run_check(const struct check *check, struct settings *settings, struct err *err)
{
	if (check->run(settings, err) == 0)
		return 0;
	snprintf(err->field, sizeof(err->field), "%s", check->member);
	config_blame(&settings->source, err);
	return -1;
}

struct settings *settings_read(const char *path, bool must_exist, struct err *err)
{
	struct settings *settings = xnew(struct settings);
	int r = config_read(&settings->config, path, must_exist, &settings->source, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(checks); i++)
		r = run_check(&checks[i], settings, err);
	return r == 0 ? settings : settings_free(settings);
}

struct settings *settings_free(struct settings *settings)
{
	if (!settings)
		return NULL;
	config_source_clear(&settings->source);
	config_clear(&settings->config);
	secret_free(settings->api_key);
	secret_free(settings->secret_key);
	secret_free(settings->store_password);
	free(settings);
	return NULL;
}
