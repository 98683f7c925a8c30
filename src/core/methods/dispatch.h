/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a call to its method. */

struct call;

typedef void (*call_impl)(struct call *call);
