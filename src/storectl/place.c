/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store that a tool works on, opened with the password that it needs.
 */

#include "storectl/place.h"

#include <errno.h>

#include "store/open.h"

int place_open(struct place *place, const char *url, const char *password_file, bool must_exist,
	       struct err *err)
{
	struct store_options options = { .url = url,
					 .must_exist = must_exist,
					 .unchecked = place->unchecked };

	place->url = url;
	if (password_file) {
		place->password = secret_read(password_file, SECRET_PASSWORD, err);
		if (!place->password)
			return -1;
	}
	place->loop = loop_new();
	if (!place->loop)
		return err_set(err, ERR_UNAVAILABLE, "the event loop cannot be made: %s",
			       strerror(errno));
	options.password = place->password;
	place->store = store_open(place->loop, &options, err);
	return place->store ? 0 : -1;
}

void place_close(struct place *place)
{
	store_close(place->store);
	if (place->loop)
		loop_free(place->loop);
	secret_free(place->password);
}
