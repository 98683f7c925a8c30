/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store" */

/*
 * Becomes the program that works on stores while the daemon is stopped. Returns only if that fails.
 */
int store_main(char **argv);
