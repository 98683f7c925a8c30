/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of volume-daemon. */

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "api/bus/bus.h"
#include "api/rest/openapi.h"
#include "base/log.h"
#include "build_config.h"
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "spec/messages.h"

static const char help[] =
	"Usage: volume-daemon [OPTION]…\n"
	"Manage the CloudStack volumes of this virtual machine.\n"
	"\n"
	"  -c, --config FILE         read FILE instead of " CONFIG_FILE "\n"
	"      --check-config        read the configuration, report its errors, and end\n"
	"      --plan-takeover       print what a start would do to the tables of an earlier daemon, and end\n"
	"      --sample-config       print a commented configuration with all defaults\n"
	"      --print-config-manual print the manual page of the configuration\n"
	"      --print-catalog       print the journal's explanations of messages\n"
	"      --introspect NAME     print the XML of a D-Bus interface\n"
	"      --print-bus-manual    print the manual page of the D-Bus interface\n"
	"      --print-openapi       print the OpenAPI document of the REST interface\n"
	"  -h, --help                show this\n"
	"  -V, --version             show the version\n"
	"\n"
	"Without an option that ends it, it serves D-Bus (org.migratekit.VolumeDaemon1) and REST\n"
	"until SIGTERM or SIGINT. See volume-daemon(8), volumectl(1).\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_PLAN };

static int print_sample(void)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	config_sample(&out);
	return fputs(out.data, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_config_manual(void)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	config_manual(&out);
	return fputs(out.data, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_catalog(void)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	messages_catalog(&out);
	return fputs(out.data, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_interface(const char *name)
{
	_cleanup_free_ char *xml = bus_interface_xml(name);

	if (!xml) {
		fprintf(stderr, "volume-daemon: there is no interface %s\n", name);
		return EXIT_FAILURE;
	}
	return fputs(xml, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_bus_manual(void)
{
	_cleanup_free_ char *manual = bus_manual();

	return fputs(manual, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_openapi(void)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	rest_openapi(&out);
	return puts(out.data) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(struct settings *settings)
{
	struct err err = { 0 };
	struct daemon *daemon;
	int code;

	daemon = daemon_new(settings, &err);
	if (!daemon) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	code = daemon_run(daemon);
	daemon_free(daemon);
	return code;
}

static void print_sentence(void *arg, const char *sentence)
{
	puts(sentence);
}

static int plan_takeover(const struct settings *settings)
{
	struct err err = { 0 };

	if (daemon_plan_takeover(settings, print_sentence, NULL, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int with_settings(const char *path, enum action action)
{
	struct err err = { 0 };
	struct settings *settings = settings_read(path ? path : CONFIG_FILE, path != NULL, &err);
	int code = EXIT_SUCCESS;

	if (!settings) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	if (action == ACTION_RUN)
		return run(settings);
	if (action == ACTION_PLAN)
		code = plan_takeover(settings);
	else
		puts("configuration is valid");
	settings_free(settings);
	return code;
}

/*
 * A mask is inherited, and a daemon whose parent blocked SIGTERM could not be stopped. Signals
 * whose default is to end the process, and which programs send to daemons for other purposes, do
 * nothing: SIGUSR1 from a script that was written for another daemon, or SIGHUP before the daemon
 * has a configuration that it could read anew.
 */
static void prepare_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

/*
 * The memory holds CloudStack's keys and the database's password: it is written into no file when
 * the process crashes, and other processes of the daemon's user may not look into it. The programs
 * that the daemon starts inherit the limit alone.
 */
static void protect_memory(void)
{
	setrlimit(RLIMIT_CORE, &(const struct rlimit){ 0 });
	prctl(PR_SET_DUMPABLE, 0);
}

/*
 * The C library would learn from the first large buffers to keep their memory, and after a while
 * lists and bodies of any size would leave holes in the heap. This keeps each of them apart, so
 * that its memory goes back to the kernel with it.
 */
static void prepare_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "plan-takeover", no_argument, NULL, 'p' },
		{ "sample-config", no_argument, NULL, 's' },
		{ "print-config-manual", no_argument, NULL, 'n' },
		{ "print-catalog", no_argument, NULL, 'j' },
		{ "introspect", required_argument, NULL, 'i' },
		{ "print-bus-manual", no_argument, NULL, 'm' },
		{ "print-openapi", no_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	enum action action = ACTION_RUN;
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'k':
			action = ACTION_CHECK;
			break;
		case 'p':
			action = ACTION_PLAN;
			break;
		case 's':
			return print_sample();
		case 'n':
			return print_config_manual();
		case 'j':
			return print_catalog();
		case 'i':
			return print_interface(optarg);
		case 'm':
			return print_bus_manual();
		case 'o':
			return print_openapi();
		case 'h':
			return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		case 'V':
			puts("volume-daemon " VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("Try 'volume-daemon --help'.\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr,
			"volume-daemon: unexpected argument \"%s\"\nTry 'volume-daemon --help'.\n",
			argv[optind]);
		return 2;
	}
	if (action == ACTION_RUN)
		log_open(LOG_JOURNAL_SOCKET);
	umask(0077);
	protect_memory();
	prepare_signals();
	prepare_memory();
	return with_settings(path, action);
}
