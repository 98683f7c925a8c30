/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The VM of an attachment: does CloudStack attach the volume to it, and is it this machine? */

#include "base/err.h"

struct operation;

/* True: the volume's disk has not come to this machine, which is another VM. False: the step has
 * ended, and fails if CloudStack confirms that the VM is this machine. */
bool op_attach_is_remote_or_end(struct operation *operation);
/* If CloudStack does not know the VM, and the daemon takes this machine for that VM, adds to err
 * that appliance.vm_id is to be set. */
void op_attach_explain(const struct operation *operation, struct err *err);
