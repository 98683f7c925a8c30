/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A VM that was cloned gets a new /etc/machine-id when it first boots, if it was prepared as a
 * template should be; so the id tells a store that came along with the disk of another machine. */

#include "daemon/machine.h"

#include <systemd/sd-id128.h>

#include "base/util.h"

#define APPLICATION SD_ID128_MAKE(6b, 1d, 0e, 52, 93, 7c, 4f, 0a, 9c, 41, 2f, d8, 55, 7e, a3, 10)

char *machine_id(void)
{
	char text[SD_ID128_STRING_MAX];
	sd_id128_t id;

	if (sd_id128_get_machine_app_specific(APPLICATION, &id) < 0)
		return NULL;
	return xstrdup(sd_id128_to_string(id, text));
}
