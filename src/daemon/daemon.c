/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Wiring. The order of opening is the order of need: store and CloudStack, then core, then the
 * surfaces; READY is sent when all of them stand. Stopping is a drain: no new request is accepted,
 * answers under way and commits get a few seconds, and each operation stays at the step that the
 * store holds, for the next start.
 */

#include "daemon/daemon.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "api/bus/bus.h"
#include "api/rest/rest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/core.h"
#include "daemon/access.h"
#include "daemon/machine.h"
#include "disk/device.h"
#include "dm/devmap.h"
#include "io/address.h"
#include "nbd/exporter.h"
#include "store/open.h"

/* systemd allows 10 s by our unit; a drain that takes longer is cut. */
#define DRAIN_MS 8000
#define DRAIN_LOOK_MS 20
#define APPLIANCE_LOOK_MS 1000

/* Time for one change of a name or an export, and for udev to say that it has seen the change. */
#define NAME_MS 30000
#define EXPORT_MS 10000
#define UDEV_MS 10000

/* For all but the connections of REST: disks, threads, store, engine, CloudStack, D-Bus. */
#define DESCRIPTORS_KEPT 192
#define DESCRIPTORS_MIN 256
/* Connections at rest, besides one for each request in flight. */
#define CONNECTIONS_IDLE 512

struct daemon {
	const struct config *config;
	struct loop *loop;
	struct store *store;
	struct secret *store_password;
	struct access *access;
	struct cloud *cloud;
	struct devmap *devmap;
	struct exporter *exporter;
	struct core *core;
	struct bus *bus;
	struct rest *rest;
	struct event *signals[2];
	struct loop_timer drain;
	struct loop_timer watchdog;
	struct loop_timer appliance;
	int64_t drain_until_ms;
	int64_t watchdog_ms;
	size_t max_connections;
	gid_t group;                    /* of unix sockets; (gid_t)-1: it does not exist */
	char *rest_access, *nbd_access; /* who may use them, in words, for the log and health */
	int exit_code;
};

/* ---- stopping ---- */

static void on_drain_look(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, drain);
	bool settled = core_drain(daemon->core) && rest_in_flight(daemon->rest) == 0 &&
		       bus_queued(daemon->bus) == 0;

	if (settled || clock_mono_ms() >= daemon->drain_until_ms)
		loop_stop(daemon->loop);
	else
		loop_timer_set(daemon->loop, timer, DRAIN_LOOK_MS);
}

static void stop(struct daemon *daemon)
{
	if (daemon->drain_until_ms)
		return;
	daemon->drain_until_ms = clock_mono_ms() + DRAIN_MS;
	sd_notify(0, "STOPPING=1");
	rest_drain(daemon->rest);
	core_drain(daemon->core);
	loop_timer_set(daemon->loop, &daemon->drain, 0);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	log_notice("stopping: %s", strsignal((int)number));
	stop(arg);
}

static void on_name_lost(void *arg, const char *reason)
{
	struct daemon *daemon = arg;

	log_error("the D-Bus name is taken: %s; another volume-daemon seems to run", reason);
	daemon->exit_code = EXIT_FAILURE;
	stop(daemon);
}

/* Half the time systemd allows; a loop that stands still sends no more signs of life. */
static void on_watchdog(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, watchdog);

	sd_notify(0, "WATCHDOG=1");
	loop_timer_set(daemon->loop, timer, daemon->watchdog_ms);
}

/* ---- starting ---- */

/* A database server may ask for none. */
static int read_store_password(const struct config *config, struct secret **out, struct err *err)
{
	return access_read_key(config->store_password_file, "store-password", SECRET_PASSWORD, out,
			       err);
}

int daemon_plan_takeover(const struct config *config, store_sentence_fn tell, void *arg,
			 struct err *err)
{
	struct store_options options = { .url = config->store_url };
	struct secret *password = NULL;
	int r = read_store_password(config, &password, err);

	options.password = password;
	if (r == 0)
		r = store_plan_takeover(&options, tell, arg, err);
	secret_free(password);
	return r;
}

static int open_store(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->config;
	struct store_options options = { .url = config->store_url };

	if (read_store_password(config, &daemon->store_password, err) < 0)
		return -1;
	options.password = daemon->store_password;
	daemon->store = store_open(daemon->loop, &options, err);
	return daemon->store ? 0 : -1;
}

/* In CloudStack's words. */
static const char *project_id(const struct config *config)
{
	return streq(config->cloud_project_id, CONFIG_ALL_PROJECTS) ? CLOUD_ALL_PROJECTS
								    : config->cloud_project_id;
}

/* Makes the cloud or, if there is one, gives it the present address and keys. */
static int use_access(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->config;
	struct cloud_options options = {
		.url = access_url(daemon->access),
		.api_key = access_api_key(daemon->access),
		.secret_key = access_secret_key(daemon->access),
		.ca_file = config->cloud_ca_file,
		.project_id = project_id(config),
		.timeout_ms = config->cloud_timeout,
		.poll_min_ms = config->cloud_poll_min,
		.poll_max_ms = config->cloud_poll_max,
		.max_parallel = (size_t)config->cloud_parallel,
	};

	if (access_check(daemon->access, err) < 0)
		return -1;
	if (daemon->cloud)
		return cloud_set_access(daemon->cloud, options.url, options.api_key,
					options.secret_key, err);
	daemon->cloud = cloud_new(daemon->loop, &options, err);
	return daemon->cloud ? 0 : -1;
}

static bool is_other_appliance(const struct daemon *daemon)
{
	const char *id = access_appliance_id(daemon->access);

	return id && strcasecmp(id, core_appliance_id(daemon->core)) != 0;
}

static void on_appliance(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, appliance);

	if (!is_other_appliance(daemon))
		return;
	if (core_set_appliance(daemon->core, access_appliance_id(daemon->access)))
		log_notice("this VM's CloudStack id is %s now", core_appliance_id(daemon->core));
	else
		loop_timer_set(daemon->loop, timer, APPLIANCE_LOOK_MS);
}

static void note_appliance(struct daemon *daemon)
{
	if (!is_other_appliance(daemon))
		return;
	log_warning("this VM's CloudStack id changes to %s as soon as no operation is under way",
		    access_appliance_id(daemon->access));
	loop_timer_set(daemon->loop, &daemon->appliance, 0);
}

static void on_access_changed(void *arg)
{
	struct daemon *daemon = arg;
	struct err err = { 0 };

	note_appliance(daemon);
	core_set_zone(daemon->core, access_zone(daemon->access));
	if (use_access(daemon, &err) == 0)
		core_set_cloud(daemon->core, daemon->cloud);
	else
		log_warning("CloudStack cannot be asked with the new address and keys%s: %s",
			    daemon->cloud ? ", so the old ones stay in use" : "", err.text);
}

static int open_cloud(struct daemon *daemon, struct err *err)
{
	const struct access_options options = {
		.loop = daemon->loop,
		.config = daemon->config,
		.store = daemon->store,
		.changed = on_access_changed,
		.arg = daemon,
	};
	struct err why = { 0 };

	daemon->access = access_open(&options, err);
	if (!daemon->access)
		return -1;
	if (use_access(daemon, &why) == 0)
		return 0;
	/* The configuration is unfinished, and no row can supply the rest. */
	if (daemon->config->cloud_url && !access_follows(daemon->access)) {
		*err = why;
		return -1;
	}
	log_warning("volumes cannot be changed: %s", why.text);
	return 0;
}

/* KVM gives the machine CloudStack's id of the VM as its product UUID (readable by root only). */
static char *find_appliance_id(const struct daemon *daemon)
{
	_cleanup_free_ char *path =
		xasprintf("%s/class/dmi/id/product_uuid", daemon->config->device_sysfs_root);
	_cleanup_free_ char *text = NULL;

	if (access_appliance_id(daemon->access))
		return xstrdup(access_appliance_id(daemon->access));
	text = read_file_at(AT_FDCWD, path, 256, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	if (!text || !uuid_is_valid(text)) {
		log_warning(
			"this VM's CloudStack id is unknown: no devices will be named; set appliance.vm_id");
		return NULL;
	}
	for (char *c = text; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'F' ? *c + ('a' - 'A') : *c);
	return TAKE_PTR(text);
}

static void open_names(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	struct devmap_options options = {
		.dev_root = config->device_dev_root,
		.run_root = "/run",
		.timeout_ms = NAME_MS,
		.cookie_ms = UDEV_MS,
	};
	struct err err = { 0 };

	daemon->devmap = devmap_new(daemon->loop, &options, &err);
	if (!daemon->devmap && config->device_stable_names)
		log_notice("volumes have no stable names: %s", err.text);
}

static void on_exports_lost(void *arg)
{
	struct daemon *daemon = arg;

	core_exports_lost(daemon->core);
}

static int open_exporter(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->config;
	struct exporter_options options = {
		.engine = (enum export_engine)config->export_engine,
		.run_dir = config->export_run_dir,
		.qmp_socket = config->export_qmp_socket,
		.listen = config->export_listen,
		.group = daemon->group,
		.tls_dir = config->export_tls_dir,
		.proc_root = "/proc",
		.sysfs_root = config->device_sysfs_root,
		.timeout_ms = EXPORT_MS,
		.lost = on_exports_lost,
		.arg = daemon,
	};

	if (options.engine == EXPORT_ENGINE_NONE)
		return 0;
	daemon->exporter = exporter_new(daemon->loop, &options, err);
	return daemon->exporter ? 0 : -1;
}

/* ---- access ---- */

#define EVERY_USER "every local user"
#define TOKENS "programs with a token"

static char *group_words(const struct daemon *daemon)
{
	if (daemon->group == (gid_t)-1)
		return xstrdup("root");
	return xasprintf("root and the group %s", daemon->config->http_group);
}

static char *who_may_use_rest(const struct daemon *daemon)
{
	const struct config *config = daemon->config;
	bool activated = sd_listen_fds(0) > 0;
	_cleanup_free_ char *group = NULL;

	if (activated ? sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) > 0
		      : address_all_unix(config->http_listen))
		return group_words(daemon);
	if (!config->http_require_token && config->http_loopback_access == ACCESS_ADMIN)
		return xstrdup(EVERY_USER);
	if (!activated && strstr(config->http_listen, "unix:"))
		group = group_words(daemon);
	if (config->http_require_token)
		return xasprintf("%s%s%s", str_or(group, ""), group ? ", " : "", TOKENS);
	return xasprintf("%s%s%s (%s may %s)", str_or(group, ""), group ? ", " : "", TOKENS,
			 EVERY_USER, access_names[config->http_loopback_access]);
}

static char *who_may_use_exports(const struct daemon *daemon)
{
	const struct config *config = daemon->config;

	if (!daemon->exporter)
		return xstrdup("nobody");
	if (address_all_unix(config->export_listen))
		return group_words(daemon);
	if (exporter_verifies_clients(daemon->exporter))
		return xstrdup("programs with a client certificate");
	return xstrdup(EVERY_USER);
}

/* A database of users that cannot be asked makes the group unknown: fewer users may connect. */
static void find_group(struct daemon *daemon)
{
	const struct config *config = daemon->config;
	const struct group *group = getgrnam(config->http_group);

	daemon->group = group ? group->gr_gid : (gid_t)-1;
	if (!group &&
	    (strstr(config->http_listen, "unix:") || address_all_unix(config->export_listen)))
		log_warning(
			"there is no group %s, so only root may connect to unix sockets of REST and NBD: make it with systemd-sysusers or groupadd, or set http.group",
			config->http_group);
}

static void log_access(const struct daemon *daemon)
{
	const char *rest = daemon->rest_access, *nbd = daemon->nbd_access;

	if (streq(rest, EVERY_USER) || streq(nbd, EVERY_USER))
		log_notice(
			"full access to volumes: over REST %s, over NBD %s; volume-daemon-closed.conf limits it to root and a group, http.require_token to programs with a token",
			rest, nbd);
	else
		log_info("full access to volumes: over REST %s, over NBD %s", rest, nbd);
}

static int open_core(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->config;
	_cleanup_free_ char *appliance_id = find_appliance_id(daemon), *machine = machine_id();
	struct core_options options = {
		.appliance_id = appliance_id,
		.machine_id = machine,
		.project_id = project_id(config),
		.sysfs_root = config->device_sysfs_root,
		.dev_root = config->device_dev_root,
		.proc_root = "/proc",
		.run_dir = config->export_run_dir,
		.scan_ms = config->device_scan_interval,
		.device_wait_ms = config->device_wait,
		.cloud_wait_ms = config->cloud_job_wait,
		.probe_ms = config->device_probe_timeout,
		.reconcile_ms = config->reconcile_interval,
		.retention_ms = config->store_retention,
		.hold_ms = config->device_hold_seconds * 1000,
		.devmap = config->device_stable_names ? daemon->devmap : NULL,
		.old_names = config->device_stable_names ? NULL : daemon->devmap,
		.exporter = daemon->exporter,
		.allow_vm_expunge = config->operations_allow_vm_expunge,
		.max_operations = (size_t)config->operations_max,
		.max_operations_per_caller = (size_t)config->operations_max_per_caller,
	};

	options.rest_access = daemon->rest_access = who_may_use_rest(daemon);
	options.nbd_access = daemon->nbd_access = who_may_use_exports(daemon);
	if (config_buses(config, &options.buses, err) < 0)
		return -1;
	daemon->core = core_new(daemon->loop, &options, daemon->store, daemon->cloud, err);
	if (!daemon->core)
		return -1;
	core_set_zone(daemon->core, access_zone(daemon->access));
	return 0;
}

/* A socket handed over by systemd replaces the configured address. */
static int activated_socket(struct err *err)
{
	int count = sd_listen_fds(1);

	if (count > 1) {
		err_set(err, ERR_INVALID,
			"systemd handed over %d sockets, and volume-daemon takes one: leave one ListenStream= in its socket unit",
			count);
		return -2;
	}
	return count == 1 ? SD_LISTEN_FDS_START : -1;
}

/*
 * The connections of REST get the descriptors that nothing else needs, so that clients cannot take
 * away those for disks, threads and the database.
 */
static int find_max_connections(struct daemon *daemon, struct err *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < DESCRIPTORS_MIN)
		return err_set(
			err, ERR_UNAVAILABLE,
			"this process may open %lld files only and needs %d: raise LimitNOFILE of its unit, or ulimit -n",
			(long long)limit.rlim_cur, DESCRIPTORS_MIN);
	daemon->max_connections = 3 * (size_t)daemon->config->http_max_requests + CONNECTIONS_IDLE;
	if (daemon->max_connections > limit.rlim_cur - DESCRIPTORS_KEPT)
		daemon->max_connections = limit.rlim_cur - DESCRIPTORS_KEPT;
	return 0;
}

static int open_surfaces(struct daemon *daemon, struct err *err)
{
	struct bus_options bus_options = { .name_lost = on_name_lost, .arg = daemon };
	struct rest_options rest_options = {
		.listen = daemon->config->http_listen,
		.group = daemon->group,
		.group_name = daemon->config->http_group,
		.listen_fd = activated_socket(err),
		.max_requests = (size_t)daemon->config->http_max_requests,
		.max_connections = daemon->max_connections,
		.access = (enum method_access)daemon->config->http_loopback_access,
		.require_token = daemon->config->http_require_token,
		.limits = {
			.requests = (size_t)daemon->config->http_caller_requests,
			.connections = (size_t)daemon->config->http_caller_connections,
			.anonymous_requests = (size_t)daemon->config->http_anonymous_requests,
			.anonymous_connections = (size_t)daemon->config->http_anonymous_connections,
		},
	};

	if (rest_options.listen_fd == -2)
		return -1;
	daemon->bus = bus_open(daemon->loop, daemon->core, &bus_options);
	daemon->rest = rest_open(daemon->loop, daemon->core, &rest_options, err);
	return daemon->rest ? 0 : -1;
}

static void open_signals(struct daemon *daemon)
{
	static const int numbers[ARRAY_SIZE(daemon->signals)] = { SIGTERM, SIGINT };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		daemon->signals[i] =
			evsignal_new(loop_base(daemon->loop), numbers[i], on_signal, daemon);
		event_add(daemon->signals[i], NULL);
	}
}

struct daemon *daemon_new(const struct config *config, struct err *err)
{
	struct daemon *daemon = xnew(struct daemon);
	uint64_t watchdog_us = 0;

	daemon->config = config;
	daemon->loop = loop_new();
	if (!daemon->loop) {
		err_set(err, ERR_UNAVAILABLE, "the event loop cannot be made: %s", strerror(errno));
		free(daemon);
		return NULL;
	}
	daemon->drain.fire = on_drain_look;
	daemon->watchdog.fire = on_watchdog;
	daemon->appliance.fire = on_appliance;
	if (find_max_connections(daemon, err) < 0)
		return daemon_free(daemon);
	open_names(daemon);
	find_group(daemon);
	if (open_store(daemon, err) < 0 || open_cloud(daemon, err) < 0 ||
	    open_exporter(daemon, err) < 0 || open_core(daemon, err) < 0 ||
	    open_surfaces(daemon, err) < 0)
		return daemon_free(daemon);
	open_signals(daemon);
	if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
		daemon->watchdog_ms = (int64_t)(watchdog_us / 2000);
		loop_timer_set(daemon->loop, &daemon->watchdog, daemon->watchdog_ms);
	}
	return daemon;
}

int daemon_run(struct daemon *daemon)
{
	char address[192];

	log_access(daemon);
	for (size_t i = 0; rest_address(daemon->rest, i, address, sizeof(address)); i++)
		log_notice("listening on %s", address);
	sd_notify(0, "READY=1");
	loop_run(daemon->loop);
	log_notice("stopped");
	return daemon->exit_code;
}

/*
 * The surfaces go first, since they ask core; the store before core, since the store hands back its
 * queued work; CloudStack after core, which cancels its calls.
 */
struct daemon *daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(daemon->signals); i++) {
		if (daemon->signals[i])
			event_free(daemon->signals[i]);
	}
	rest_close(daemon->rest);
	bus_close(daemon->bus);
	if (daemon->core)
		core_drain(daemon->core);
	store_close(daemon->store);
	core_free(daemon->core);
	exporter_free(daemon->exporter);
	devmap_free(daemon->devmap);
	cloud_free(daemon->cloud);
	access_free(daemon->access);
	secret_free(daemon->store_password);
	loop_timer_clear(daemon->loop, &daemon->drain);
	loop_timer_clear(daemon->loop, &daemon->watchdog);
	loop_timer_clear(daemon->loop, &daemon->appliance);
	loop_free(daemon->loop);
	free(daemon->rest_access);
	free(daemon->nbd_access);
	free(daemon);
	return NULL;
}
