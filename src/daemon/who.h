/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may use the daemon, in words, for the log and for health. */

#include <stdbool.h>

struct exporter;
struct settings;

/* The users with full access over REST; passed_unix: also over a unix socket that systemd has
 * opened. The caller frees it. */
char *who_may_use_rest(const struct settings *settings, bool passed_unix);
/* The same over NBD; exporter NULL: there are no exports. */
char *who_may_use_exports(const struct settings *settings, const struct exporter *exporter);
/* Tells both in the log: louder if every user of the machine is one of them. */
void who_log(const char *rest, const char *nbd);
