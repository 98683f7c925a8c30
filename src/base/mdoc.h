/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Prose in a manual page that is written in mdoc. */

#include "base/buf.h"

/*
 * Adds text as lines of its own, each sentence one, as formatters of manual pages want it. Nothing
 * in the text is a request to the formatter.
 */
void mdoc_add_text(struct buf *out, const char *text);
