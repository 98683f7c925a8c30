/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The last step of an attachment. */

struct device;
struct operation;

/* Ends the step in a verb. device: the volume's disk; NULL if the volume is on another VM. */
void op_attach_publish(struct operation *operation, const struct device *device);
