/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kinds of stores there are: a url chooses one by its scheme. */

#include "store/open.h"

#include "store/backend.h"
#include "store/mariadb/backend.h"
#include "store/memory/memory.h"
#include "store/sqlite/backend.h"

static const struct store_backend *const backends[] = { &store_sqlite_backend,
							&store_mariadb_backend,
							&store_memory_backend };

static const struct store_backend *find_backend(const char *url, struct err *err)
{
	int scheme = (int)strcspn(url, ":/");
	struct buf _cleanup_buf_ allowed = BUF_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (str_has_prefix(url, backends[i]->scheme))
			return backends[i];
		buf_printf(&allowed, "%s%s", i ? " or " : "", backends[i]->example);
	}
	/* Only the scheme is repeated: the rest may hold a password. */
	err_set_field(err, "store", ERR_INVALID, "a store url cannot begin with \"%.*s\"; it is %s",
		      scheme < 32 ? scheme : 32, url, allowed.data);
	return NULL;
}

struct store *store_open(struct loop *loop, const struct store_options *options, struct err *err)
{
	const struct store_backend *backend = find_backend(options->url, err);

	return backend ? backend->open(loop, options, err) : NULL;
}

int store_check_url(const char *url, struct err *err)
{
	const struct store_backend *backend = find_backend(url, err);

	if (!backend)
		return -1;
	return backend->check_url ? backend->check_url(url, err) : 0;
}

bool store_url_has_access(const char *url)
{
	const struct store_backend *backend = find_backend(url, NULL);

	return backend && backend->read_access;
}

int store_plan_takeover(const struct store_options *options, store_sentence_fn tell, void *arg,
			struct err *err)
{
	const struct store_backend *backend = find_backend(options->url, err);

	if (!backend)
		return -1;
	if (backend->plan_takeover)
		return backend->plan_takeover(options, tell, arg, err);
	tell(arg,
	     "the store is no database that an earlier daemon could have used: nothing is taken over");
	return 0;
}
