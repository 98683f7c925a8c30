/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line of volume-daemon. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/bus/bus.h"
#include "base/log.h"
#include "build_config.h"
#include "daemon/daemon.h"

static const char help[] =
	"Usage: volume-daemon [OPTION]…\n"
	"Manage the CloudStack volumes of this virtual machine.\n"
	"\n"
	"  -c, --config FILE         read FILE instead of " CONFIG_FILE "\n"
	"      --check-config        read the configuration, report its errors, and end\n"
	"      --sample-config       print a commented configuration with all defaults\n"
	"      --introspect NAME     print the XML of a D-Bus interface\n"
	"  -h, --help                show this\n"
	"  -V, --version             show the version\n"
	"\n"
	"Without an option that ends it, it serves D-Bus (org.migratekit.VolumeDaemon1) and REST\n"
	"until SIGTERM or SIGINT. See volume-daemon(8), volumectl(1).\n";

enum action { ACTION_RUN, ACTION_CHECK };

static int print_sample(void)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	config_sample(&out);
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

static int run(const struct config *config)
{
	struct err err = { 0 };
	struct daemon *daemon;
	int code;

	log_set_level((enum log_level)config->log_level);
	daemon = daemon_new(config, &err);
	if (!daemon) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	code = daemon_run(daemon);
	daemon_free(daemon);
	return code;
}

static int with_config(const char *path, enum action action)
{
	struct config config = { 0 };
	struct err err = { 0 };
	int code = EXIT_SUCCESS;

	if (config_read(&config, path ? path : CONFIG_FILE, path != NULL, &err) < 0) {
		log_error("%s", err.text);
		code = EXIT_FAILURE;
	} else if (action == ACTION_RUN) {
		code = run(&config);
	} else {
		puts("configuration is valid");
	}
	config_clear(&config);
	return code;
}

/* A mask is inherited, and a daemon whose parent blocked SIGTERM could not be stopped. */
static void prepare_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "sample-config", no_argument, NULL, 's' },
		{ "introspect", required_argument, NULL, 'i' },
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
		case 's':
			return print_sample();
		case 'i':
			return print_interface(optarg);
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
	umask(0077);
	prepare_signals();
	return with_config(path, action);
}
