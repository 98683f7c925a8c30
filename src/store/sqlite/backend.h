/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The store in one SQLite file. */

struct store_backend;
extern const struct store_backend store_sqlite_backend;
