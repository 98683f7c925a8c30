/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events in words: the signal and its arguments, and name=value for changed properties. The coming
 * and going of the daemon is told as what it means for who watches.
 */

#include "volumectl/watch_event.h"

#include "spec/methods.h"
#include "volumectl/terminal.h"

/* The state of an object. */
static void add_properties(struct buf *out, const char *path,
			   const struct volume_client_value *changed)
{
	static const char *const shown[] = { "Status", "Step", "Error",
					     "State",  "VmId", "DevicePath" };
	_cleanup_free_ char *id = volume_client_path_id(path);

	buf_add_text(out, "Changed ");
	text_add_clean(out, str_or(id, path));
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		const char *text = volume_client_text(volume_client_get(changed, shown[i]));

		if (!*text)
			continue;
		buf_printf(out, " %s=", shown[i]);
		text_add_clean(out, text);
	}
}

void watch_event_add(struct buf *out, const char *member, const char *path,
		     const struct volume_client_value *arguments)
{
	if (streq(member, "PropertiesChanged") && arguments->count >= 2) {
		add_properties(out, path, &arguments->items[1]);
		return;
	}
	text_add_clean(out, member);
	if (streq(member, "DaemonLeft"))
		buf_add_text(out, ": waiting for volume-daemon to come back");
	for (size_t i = 0; arguments && i < arguments->count; i++) {
		const char *text = volume_client_text(&arguments->items[i]);

		/* The object's path says no more than the id beside it. */
		if (!*text ||
		    (text[0] == '/' && str_has_prefix(text, BUS_ROOT) && arguments->count > 2))
			continue;
		buf_add_char(out, ' ');
		text_add_clean(out, text);
	}
}
