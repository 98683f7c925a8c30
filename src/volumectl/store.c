/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "volumectl store …" is a program of its own: it opens stores, and needs the libraries of all
 * kinds of stores, which the other commands do not need. In a build the program stands beside
 * volumectl's folder, otherwise at STORE_PROGRAM.
 */

#include "volumectl/store.h"

#include <errno.h>
#include <stdio.h>

#include "build_config.h"
#include "volumectl/ctl.h"

int store_main(char **argv)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	_cleanup_free_ char *built = NULL;
	struct err err = { 0 };
	char *slash;

	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		built = xasprintf("%.*s/../storectl/volume-store", (int)(slash - self), self);
		execv(built, argv);
	}
	execv(STORE_PROGRAM, argv);
	err_set(&err, ERR_INTERNAL, "%s cannot be started: %s; install volume-daemon completely",
		STORE_PROGRAM, strerrordesc_np(errno));
	return ctl_fail(&err);
}
