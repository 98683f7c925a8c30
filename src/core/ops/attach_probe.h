/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading the contents of an attached volume's disk. */

struct device;
struct operation;

/* Reads the disk, and stores the findings in the context. Ends in a verb. */
void op_attach_read(struct operation *operation, const struct device *device);
