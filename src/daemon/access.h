/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How CloudStack is reached: its address, the keys, which of its machines this one is, and its
 * zone. The configuration says so or, for each value it leaves open, a row that another program
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
	void (*changed)(void *arg);  /* the row says something else now */
	void *arg;
};

/* The configured file, otherwise systemd's credential; 0 and nothing in *out where there is
 * neither. */
int access_read_key(const char *file, const char *credential, struct secret **out, struct err *err);

/* Reads both, and blocks. NULL and err: a key file of the configuration is of no use; the row never
 * is a reason. */
struct access *access_open(const struct access_options *options, struct err *err);
struct access *access_free(struct access *access); /* returns NULL, takes NULL */

/* The row can say something: what is missing may come. */
bool access_follows(const struct access *access);
/* -1: what is missing to ask CloudStack. */
int access_check(const struct access *access, struct err *err);
/* Until changed() or access_free(); NULL where nothing says so. */
const char *access_url(const struct access *access);
const struct secret *access_api_key(const struct access *access);
const struct secret *access_secret_key(const struct access *access);
const char *access_appliance_id(const struct access *access);
const char *access_zone_id(const struct access *access); /* of volumes whose creation names none */
