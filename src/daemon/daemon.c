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
#include "daemon/reload.h"
#include "daemon/settings.h"
#include "daemon/watchdog.h"
#include "daemon/who.h"
#include "disk/device.h"
#include "dm/devmap.h"
#include "io/address.h"
#include "nbd/exporter.h"
#include "store/open.h"

/* systemd allows 10 s by our unit; a drain that takes longer is cut. */
#define DRAIN_MS 8000
#define DRAIN_LOOK_MS 20
/* For clients that have connected before a stop to send their requests and to read their answers.
 */
#define DRAIN_CLIENTS_MS 2000
#define APPLIANCE_LOOK_MS 1000

/* Time for one change of a name, and for udev to say that it has seen the change. */
#define NAME_MS 30000
#define UDEV_MS 10000

/* For all but the connections of REST: disks, threads, store, engine, CloudStack, D-Bus. */
#define DESCRIPTORS_KEPT 192
#define DESCRIPTORS_MIN 256
/* Connections at rest, besides one for each request in flight. */
#define CONNECTIONS_IDLE 512

struct daemon {
	struct settings *settings; /* in force */
	struct loop *loop;
	struct store *store;
	struct access *access;
	struct cloud *cloud;
	struct devmap *devmap;
	char *no_stable_names; /* why there are none, NULL: there are some */
	struct exporter *exporter;
	struct core *core;
	struct reload *reload;
	struct bus *bus;
	struct rest *rest;
	struct event *signals[2];
	struct event *hangup;
	struct loop_timer drain;
	struct watchdog *watchdog;
	struct loop_timer appliance;
	int64_t drain_until_ms, clients_until_ms;
	size_t descriptors; /* that the connections of REST may take */
	int *passed;        /* sockets of REST that systemd has opened */
	size_t passed_count;
	bool passed_unix; /* a unix socket is among them */
	char *dmi_id;     /* of this VM as the hypervisor tells it; NULL: it does not */
	char *rest_access, *nbd_access; /* who may use them, in words */
	int exit_code;
};

/* config_check() has seen the text. */
static void set_log_levels(const struct settings *settings)
{
	struct log_levels levels;

	if (log_levels_parse(settings->config.log_level, &levels, NULL) == 0)
		log_set_levels(&levels);
}

/* ---- stopping ---- */

static void on_drain_look(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, drain);
	bool settled = core_drain(daemon->core) && rest_in_flight(daemon->rest) == 0 &&
		       bus_queued(daemon->bus) == 0;
	bool served =
		rest_under_way(daemon->rest) == 0 || clock_mono_ms() >= daemon->clients_until_ms;

	if ((settled && served) || clock_mono_ms() >= daemon->drain_until_ms)
		loop_stop(daemon->loop);
	else
		loop_timer_set(daemon->loop, timer, DRAIN_LOOK_MS);
}

static void stop(struct daemon *daemon)
{
	if (daemon->drain_until_ms)
		return;
	daemon->drain_until_ms = clock_mono_ms() + DRAIN_MS;
	daemon->clients_until_ms = clock_mono_ms() + DRAIN_CLIENTS_MS;
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

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	const struct daemon *daemon = arg;

	reload_soon(daemon->reload);
}

static void on_name_lost(void *arg, const char *reason)
{
	struct daemon *daemon = arg;

	log_error("the D-Bus name is taken: %s; another volume-daemon seems to run", reason);
	daemon->exit_code = EXIT_FAILURE;
	stop(daemon);
}

/* ---- starting ---- */

int daemon_plan_takeover(const struct settings *settings, store_sentence_fn tell, void *arg,
			 struct err *err)
{
	const struct store_options options = { .url = settings->config.store_url,
					       .password = settings->store_password };

	return store_plan_takeover(&options, tell, arg, err);
}

static int open_store(struct daemon *daemon, struct err *err)
{
	const struct store_options options = { .url = daemon->settings->config.store_url,
					       .password = daemon->settings->store_password };

	daemon->store = store_open(daemon->loop, &options, err);
	return daemon->store ? 0 : -1;
}

/* In CloudStack's words. */
static const char *project_id(const struct config *config)
{
	return streq(config->cloud_project_id, CONFIG_ALL_PROJECTS) ? CLOUD_ALL_PROJECTS
								    : config->cloud_project_id;
}

static void cloud_options(const struct daemon *daemon, struct cloud_options *out)
{
	const struct config *config = &daemon->settings->config;

	*out = (struct cloud_options){
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
}

/* Makes the cloud or, if there is one, gives it the present address and keys. */
static int use_access(struct daemon *daemon, struct err *err)
{
	struct cloud_options options;

	cloud_options(daemon, &options);
	if (access_check(daemon->access, err) < 0)
		return -1;
	if (daemon->cloud)
		return cloud_set_access(daemon->cloud, options.url, options.api_key,
					options.secret_key, err);
	daemon->cloud = cloud_new(daemon->loop, &options, err);
	return daemon->cloud ? 0 : -1;
}

/* This VM's id; NULL: nobody says it. */
static const char *appliance_id(const struct daemon *daemon)
{
	const char *id = access_appliance_id(daemon->access);

	return id ? id : daemon->dmi_id;
}

static bool is_other_appliance(const struct daemon *daemon)
{
	const char *id = appliance_id(daemon);

	return id && strcasecmp(id, core_appliance_id(daemon->core)) != 0;
}

static void on_appliance(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, appliance);

	if (!is_other_appliance(daemon))
		return;
	if (core_set_appliance(daemon->core, appliance_id(daemon)))
		log_notice("this VM's CloudStack id is %s now", core_appliance_id(daemon->core));
	else
		loop_timer_set(daemon->loop, timer, APPLIANCE_LOOK_MS);
}

static void note_appliance(struct daemon *daemon)
{
	if (!is_other_appliance(daemon))
		return;
	log_warning("this VM's CloudStack id changes to %s as soon as no operation is under way",
		    appliance_id(daemon));
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
		.settings = daemon->settings,
		.store = daemon->store,
		.changed = on_access_changed,
		.arg = daemon,
	};
	struct err why = { 0 };

	daemon->access = access_open(&options);
	if (use_access(daemon, &why) == 0)
		return 0;
	/* The configuration is unfinished, and no row can supply the rest. */
	if (daemon->settings->config.cloud_url && !access_follows(daemon->access)) {
		*err = why;
		return -1;
	}
	log_warning("volumes cannot be changed: %s", why.text);
	return 0;
}

/* KVM gives the machine CloudStack's id of the VM as its product UUID (readable by root only). */
static char *read_dmi_id(const char *sysfs_root)
{
	_cleanup_free_ char *path = xasprintf("%s/class/dmi/id/product_uuid", sysfs_root);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 256, NULL);

	if (text)
		text[strcspn(text, "\n")] = '\0';
	if (!text || !uuid_is_valid(text))
		return NULL;
	for (char *c = text; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'F' ? *c + ('a' - 'A') : *c);
	return TAKE_PTR(text);
}

static void open_names(struct daemon *daemon)
{
	const struct config *config = &daemon->settings->config;
	struct devmap_options options = {
		.dev_root = config->device_dev_root,
		.run_root = "/run",
		.timeout_ms = NAME_MS,
		.cookie_ms = UDEV_MS,
	};
	struct err err = { 0 };

	daemon->devmap = devmap_new(daemon->loop, &options, &err);
	if (!config->device_stable_names) {
		daemon->no_stable_names = xstrdup("turned off");
	} else if (!daemon->devmap) {
		daemon->no_stable_names = xstrdup(err.text);
		log_notice("volumes have no stable names: %s", err.text);
	}
}

static void on_exports_lost(void *arg)
{
	struct daemon *daemon = arg;

	core_exports_lost(daemon->core);
}

static int open_exporter(struct daemon *daemon, struct err *err)
{
	struct exporter_options options;

	settings_exporter_options(daemon->settings, &options);
	options.lost = on_exports_lost;
	options.arg = daemon;
	if (options.engine == EXPORT_ENGINE_NONE)
		return 0;
	daemon->exporter = exporter_new(daemon->loop, &options, err);
	return daemon->exporter ? 0 : -1;
}

static void core_options(const struct daemon *daemon, struct core_options *out)
{
	const struct config *config = &daemon->settings->config;

	*out = (struct core_options){
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
		.no_stable_names = daemon->no_stable_names,
		.exporter = daemon->exporter,
		.rest_access = daemon->rest_access,
		.nbd_access = daemon->nbd_access,
		.reloader = reload_door(daemon->reload),
		.allow_vm_expunge = config->operations_allow_vm_expunge,
		.max_operations = (size_t)config->operations_max,
		.max_operations_per_caller = (size_t)config->operations_max_per_caller,
	};
}

static int open_core(struct daemon *daemon, struct err *err)
{
	_cleanup_free_ char *machine = machine_id();
	struct core_options options;

	daemon->dmi_id = read_dmi_id(daemon->settings->config.device_sysfs_root);
	if (!appliance_id(daemon))
		log_warning(
			"this VM's CloudStack id is unknown: no devices will be named; set appliance.vm_id");
	daemon->rest_access = who_may_use_rest(daemon->settings, daemon->passed_unix);
	daemon->nbd_access = who_may_use_exports(daemon->settings, daemon->exporter);
	core_options(daemon, &options);
	options.appliance_id = appliance_id(daemon);
	options.machine_id = machine;
	if (config_buses(&daemon->settings->config, &options.buses, err) < 0)
		return -1;
	daemon->core = core_new(daemon->loop, &options, daemon->store, daemon->cloud, err);
	if (!daemon->core)
		return -1;
	core_set_zone(daemon->core, access_zone(daemon->access));
	return 0;
}

/* rest_open() looks at what they are. */
static void find_passed(struct daemon *daemon)
{
	int count = sd_listen_fds(1);

	if (count <= 0)
		return;
	daemon->passed = xcalloc((size_t)count, sizeof(*daemon->passed));
	daemon->passed_count = (size_t)count;
	for (int i = 0; i < count; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		daemon->passed[i] = fd;
		daemon->passed_unix |= sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;
	}
}

/*
 * The connections of REST get the descriptors that nothing else needs, so that clients cannot take
 * away those for disks, threads and the database.
 */
static int find_descriptors(struct daemon *daemon, struct err *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < DESCRIPTORS_MIN)
		return err_set(
			err, ERR_UNAVAILABLE,
			"this process may open %lld files only and needs %d: raise LimitNOFILE of its unit, or ulimit -n",
			(long long)limit.rlim_cur, DESCRIPTORS_MIN);
	daemon->descriptors = limit.rlim_cur - DESCRIPTORS_KEPT;
	return 0;
}

static void rest_options(const struct daemon *daemon, struct rest_options *out)
{
	const struct config *config = &daemon->settings->config;
	size_t connections = 3 * (size_t)config->http_max_requests + CONNECTIONS_IDLE;

	*out = (struct rest_options){
		.listen = config->http_listen,
		.tls_dir = config->http_tls_dir,
		.group = daemon->settings->group,
		.group_name = config->http_group,
		.max_requests = (size_t)config->http_max_requests,
		.max_connections =
			connections < daemon->descriptors ? connections : daemon->descriptors,
		.access = (enum method_access)config->http_loopback_access,
		.require_token = config->http_require_token,
		.limits = {
			.requests = (size_t)config->http_caller_requests,
			.connections = (size_t)config->http_caller_connections,
			.anonymous_requests = (size_t)config->http_anonymous_requests,
			.anonymous_connections = (size_t)config->http_anonymous_connections,
		},
	};
}

static int open_surfaces(struct daemon *daemon, struct err *err)
{
	struct bus_options bus_options = { .name_lost = on_name_lost, .arg = daemon };
	struct rest_options options;

	rest_options(daemon, &options);
	options.passed = daemon->passed;
	options.passed_count = daemon->passed_count;
	daemon->bus = bus_open(daemon->loop, daemon->core, &bus_options);
	daemon->rest = rest_open(daemon->loop, daemon->core, &options, err);
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
	daemon->hangup = evsignal_new(loop_base(daemon->loop), SIGHUP, on_hangup, daemon);
	event_add(daemon->hangup, NULL);
}

/* ---- a configuration that was read anew ---- */

static void apply_settings(void *arg, enum reload_effect effect)
{
	struct daemon *daemon = arg;
	struct cloud_options cloud;
	struct core_options core;
	struct rest_options rest;

	set_log_levels(daemon->settings);
	cloud_options(daemon, &cloud);
	if (daemon->cloud)
		cloud_set_pace(daemon->cloud, &cloud);
	if (effect == RELOAD_EFFECT_ACCESS) {
		access_note_settings(daemon->access);
		on_access_changed(daemon);
	}
	rest_options(daemon, &rest);
	rest_set_limits(daemon->rest, &rest);
	rest_renew_certificate(daemon->rest);
	free(daemon->rest_access);
	daemon->rest_access = who_may_use_rest(daemon->settings, daemon->passed_unix);
	core_options(daemon, &core);
	core_retune(daemon->core, &core);
}

static void open_reload(struct daemon *daemon)
{
	const struct reload_options options = {
		.loop = daemon->loop,
		.settings = daemon->settings,
		.apply = apply_settings,
		.arg = daemon,
	};

	daemon->reload = reload_new(&options);
}

struct daemon *daemon_new(struct settings *settings, struct err *err)
{
	struct daemon *daemon = xnew(struct daemon);

	daemon->settings = settings;
	find_passed(daemon);
	set_log_levels(settings);
	daemon->loop = loop_new();
	if (!daemon->loop) {
		err_set(err, ERR_UNAVAILABLE, "the event loop cannot be made: %s", strerror(errno));
		settings_free(settings);
		free(daemon->passed);
		free(daemon);
		return NULL;
	}
	daemon->drain.fire = on_drain_look;
	daemon->appliance.fire = on_appliance;
	if (find_descriptors(daemon, err) < 0)
		return daemon_free(daemon);
	open_names(daemon);
	open_reload(daemon);
	if (open_store(daemon, err) < 0 || open_cloud(daemon, err) < 0 ||
	    open_exporter(daemon, err) < 0 || open_core(daemon, err) < 0 ||
	    open_surfaces(daemon, err) < 0)
		return daemon_free(daemon);
	open_signals(daemon);
	daemon->watchdog = watchdog_new(daemon->loop, daemon->store);
	return daemon;
}

int daemon_run(struct daemon *daemon)
{
	char address[192];

	who_log(daemon->rest_access, daemon->nbd_access);
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
	if (daemon->hangup)
		event_free(daemon->hangup);
	rest_close(daemon->rest);
	bus_close(daemon->bus);
	if (daemon->core)
		core_drain(daemon->core);
	watchdog_free(daemon->watchdog);
	store_close(daemon->store);
	core_free(daemon->core);
	reload_free(daemon->reload);
	exporter_free(daemon->exporter);
	devmap_free(daemon->devmap);
	free(daemon->no_stable_names);
	cloud_free(daemon->cloud);
	access_free(daemon->access);
	loop_timer_clear(daemon->loop, &daemon->drain);
	loop_timer_clear(daemon->loop, &daemon->appliance);
	loop_free(daemon->loop);
	free(daemon->passed);
	free(daemon->rest_access);
	free(daemon->nbd_access);
	free(daemon->dmi_id);
	settings_free(daemon->settings);
	free(daemon);
	return NULL;
}
