/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * uthash, with a hash function that clang compiles without a warning: the default one falls through
 * switch labels without marking it. Everything hashed here is an id of ours or CloudStack's, so
 * speed and distribution are no concern.
 */

#define HASH_FUNCTION(key, length, value) HASH_OAT(key, length, value)
#include <uthash.h>
