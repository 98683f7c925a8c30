/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is on the disk of an attached volume. */

struct device;
struct operation;

/* Reads the disk; what it found goes into the context. Ends in a verb. */
void op_attach_read(struct operation *operation, const struct device *device);
