/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opening a store by its url. This is a library of its own above the backends: a program that links
 * this library links the libraries of every kind of store, and a program that does not link it can
 * still use a store that is open already.
 */

#include "store/store.h"

/*
 * Opens the store, and brings its schema up; blocks. NULL and err: the url is wrong, or the store
 * cannot be used.
 */
struct store *store_open(struct loop *loop, const struct store_options *options, struct err *err);
/* The url alone, without a look at the place that it names. */
int store_check_url(const char *url, struct err *err);
/* See store_has_access(), of a store with this url. */
bool store_url_has_access(const char *url);
/*
 * Tells, sentence by sentence, what store_open() would do to the tables of an earlier daemon in
 * that store, and changes nothing; blocks.
 */
int store_plan_takeover(const struct store_options *options, store_sentence_fn tell, void *arg,
			struct err *err);
