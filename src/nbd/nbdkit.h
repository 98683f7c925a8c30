/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* nbdkit as an engine. Private to nbd/. */

#include "nbd/engine.h"

extern const struct engine_ops nbdkit_engine;
