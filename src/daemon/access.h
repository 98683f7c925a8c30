/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Access to CloudStack: its address, the keys, its id of this machine, and the zone. The values
 * come from the configuration or, for each value it leaves open, from a row that another program
 * keeps in the store's database; that row is followed.
 */

#include "base/secret.h"
#include "io/loop.h"

struct access;
struct settings;
struct store;

struct access_options {
	struct loop *loop;
	const struct settings *settings; /* borrowed */
	struct store *store;             /* borrowed; closed before access_free() */
	void (*changed)(void *arg);      /* the row has other values now */
	void *arg;
};

/* Reads the row, and blocks. A fault in the row is told in the log. */
struct access *access_open(const struct access_options *options);
/* The settings have other values now: what they lack comes from the row, which is read later if it
 * was not followed before. */
void access_note_settings(struct access *access);
struct access *access_free(struct access *access); /* returns NULL, takes NULL */

/* The row can hold values, so a value that is missing now may come. */
bool access_follows(const struct access *access);
/* -1: CloudStack cannot be asked; err names the missing value. has_row: a row could hold it. */
int access_check_values(const char *url, const struct secret *api_key,
			const struct secret *secret_key, bool has_row, struct err *err);
/* The same for the values there are. */
int access_check(const struct access *access, struct err *err);
/* Valid until changed() or access_free(); NULL if there is none. */
const char *access_url(const struct access *access);
const struct secret *access_api_key(const struct access *access);
const struct secret *access_secret_key(const struct access *access);
const char *access_appliance_id(const struct access *access);
/* of new volumes if the caller names none: an id or a name */
const char *access_zone(const struct access *access);
