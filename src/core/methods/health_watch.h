/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Notices that the daemon's health has changed. */

#include "base/util.h"

struct calls;
struct health_watch;

struct health_watch *health_watch_new(struct calls *calls);
struct health_watch *health_watch_free(struct health_watch *watch); /* returns NULL, takes NULL */
void health_watch_set(struct health_watch *watch, bool is_wanted);
