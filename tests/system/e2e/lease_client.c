/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client that takes the lease of a database, writes, lets go and begins again, until it is
 * killed. Every write is one transaction of the daemon's kind that also copies the row of the lease
 * into the table lease_log. The lease counts its writes, so that table has all writes of all
 * clients in the order in which the cluster took them. A line on stdout says what was acknowledged.
 *
 *      lease_client URL PASSWORD-FILE
 */

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "store/mariadb/lease.h"

#define WRITES 40
#define COPY "INSERT INTO lease_log SELECT writes, holder FROM volume_daemon_lease WHERE lane = 0"
#define COUNT "SELECT writes FROM volume_daemon_lease WHERE lane = 0"

static void pause_ms(long ms)
{
	nanosleep(&(const struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static enum mariadb_fault write_once(struct mariadb_session *session, uint64_t *count,
				     struct err *err)
{
	enum mariadb_fault fault = mariadb_run(session, "START TRANSACTION", err);

	if (fault == MARIADB_OK)
		fault = mariadb_lease_write(session, err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(session, COPY, err);
	if (fault == MARIADB_OK)
		fault = mariadb_number(session, COUNT, count, err);
	if (fault == MARIADB_OK)
		return mariadb_run(session, "COMMIT", err);
	if (fault != MARIADB_AWAY)
		mariadb_run(session, "ROLLBACK", NULL);
	return fault;
}

/* Until the client has written enough or has lost the lease. */
static void hold(struct mariadb_session *session)
{
	struct mariadb_cluster *cluster = session->cluster;

	for (unsigned written = 0; written < WRITES && !atomic_load(&cluster->lost);) {
		struct err err = { 0 };
		uint64_t count;

		if (mariadb_ready(session, &err) < 0) {
			if (err.code == ERR_CONFLICT)
				return;
			pause_ms(100);
			continue;
		}
		switch (write_once(session, &count, &err)) {
		case MARIADB_OK:
			printf("%s %llu\n", cluster->holder, (unsigned long long)count);
			written++;
			break;
		case MARIADB_AWAY:
			mariadb_leave(session);
			break;
		case MARIADB_AGAIN:
		case MARIADB_OWN:
			break;
		}
		pause_ms(5);
	}
}

int main(int argc, char **argv)
{
	struct mariadb_cluster cluster = { 0 };
	struct mariadb_session session = { .cluster = &cluster, .connected = mariadb_lease_guard };
	_cleanup_free_ char *password = NULL;
	struct err err = { 0 };

	if (argc != 3 || mariadb_url_parse(argv[1], &cluster.url, &err) < 0)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	password = read_file_at(AT_FDCWD, argv[2], 1 << 10, NULL);
	password[strcspn(password, "\n")] = '\0';
	cluster.password = secret_new(password, strlen(password));
	for (;;) {
		if (mariadb_ready(&session, &err) == 0 && mariadb_lease_take(&session, &err) == 0)
			hold(&session);
		mariadb_close(&session);
		cluster.holder[0] = '\0';
		atomic_store(&cluster.lost, false);
		err_clear(&err);
		pause_ms(50);
	}
}
