/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The store in a database of a MariaDB server. */

struct store_backend;
extern const struct store_backend store_mariadb_backend;
