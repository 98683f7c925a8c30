/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Access to CloudStack: its address, the keys, its id of this machine, and the zone. The values
 * come from the configuration or, for each value it leaves open, from a row that another program
 * keeps in the store's database; that row is followed.
 */

#include "base/secret.h"
#include "config/config.h"
#include "io/loop.h"

struct access;
struct store;

struct access_options {
	struct loop *loop;
	const struct config *config; /* borrowed */
	struct store *store;         /* borrowed; closed before access_free() */
	void (*changed)(void *arg);  /* the row has other values now */
	void *arg;
};

/* The configured file, otherwise systemd's credential; 0 and nothing in *out if none. */
int access_read_key(const char *file, const char *credential, enum secret_kind kind,
		    struct secret **out, struct err *err);

/*
 * Reads configuration and row, and blocks. NULL and err if a key file of the configuration is of no
 * use; a fault in the row is no reason.
 */
struct access *access_open(const struct access_options *options, struct err *err);
struct access *access_free(struct access *access); /* returns NULL, takes NULL */

/* The row can hold values, so a value that is missing now may come. */
bool access_follows(const struct access *access);
/* -1: CloudStack cannot be asked; err names the missing value. */
int access_check(const struct access *access, struct err *err);
/* Valid until changed() or access_free(); NULL if there is none. */
const char *access_url(const struct access *access);
const struct secret *access_api_key(const struct access *access);
const struct secret *access_secret_key(const struct access *access);
const char *access_appliance_id(const struct access *access);
/* of new volumes if the caller names none: an id or a name */
const char *access_zone(const struct access *access);
