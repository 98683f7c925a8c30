/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine id that tests set. machine_id() is linked to the function here; the file named by
 * VOLD_MACHINE_ID holds the id. Without the file the machine has none, whatever stands in
 * /etc/machine-id.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "base/util.h"

char *__wrap_machine_id(void);

char *__wrap_machine_id(void)
{
	const char *path = getenv("VOLD_MACHINE_ID");

	return path ? read_file_at(AT_FDCWD, path, 64, NULL) : NULL;
}
