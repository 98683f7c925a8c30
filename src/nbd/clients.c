/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The engines do not name their clients, but the kernel does: each connection a server has accepted
 * is a line in /proc/net/tcp with the server's address as the local one. Sockets that only wait to
 * be forgotten (FIN_WAIT, TIME_WAIT and the like) have no program behind them any more; CLOSE_WAIT
 * has one, the server has just not noticed yet.
 *
 * Reading that file walks the kernel's whole hash table, some milliseconds on a big machine, hence
 * the worker. Our own handshakes are connections, too. A port of ours is remembered from before it
 * is connected until after the scans that may have seen it.
 */

#include "nbd/clients.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "io/worker.h"

#define TABLE_BYTES_MAX (64 << 20)
#define TCP_ESTABLISHED 1
#define TCP_CLOSE_WAIT 8
#define UNIX_CONNECTED 3

struct own_port {
	STAILQ_ENTRY(own_port) entry;
	int port;
	bool open;
};

struct clients_scan {
	struct worker_job job;
	struct clients *clients;
	struct address server;
	clients_done_fn done; /* NULL: cancelled */
	void *arg;
	struct export_client *found;
	int *ports; /* of the clients, in the same order; 0 on a unix socket */
	size_t count;
	struct err err;
};

struct clients {
	char *proc_root;
	struct worker *worker;
	STAILQ_HEAD(, own_port) own;
	size_t scans; /* started and not ended */
};

/* ---- the thread ---- */

static void add_client(struct clients_scan *scan, const char *address, int port)
{
	if (scan->count == CLIENTS_MAX)
		return;
	scan->found = xrealloc(scan->found, (scan->count + 1) * sizeof(*scan->found));
	scan->ports = xrealloc(scan->ports, (scan->count + 1) * sizeof(*scan->ports));
	snprintf(scan->found[scan->count].address, sizeof(scan->found[0].address), "%s", address);
	scan->ports[scan->count++] = port;
}

/* The kernel gives its table in pieces. It shows a connection twice if the connection moves between
 * two of them. */
static bool is_known(const struct clients_scan *scan, const char *address)
{
	for (size_t i = 0; i < scan->count; i++) {
		if (streq(scan->found[i].address, address))
			return true;
	}
	return false;
}

/* "0100007F:2AEF", or 32 digits: words in the machine's byte order, the port as a plain number. */
static int parse_endpoint(const char *text, bool is_v6, struct in6_addr *out, int *out_port)
{
	size_t words = is_v6 ? 4 : 1;
	unsigned port;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < words; i++) {
		uint32_t word;

		if (sscanf(text + 8 * i, "%8" SCNx32, &word) != 1)
			return -1;
		memcpy(&out->s6_addr[4 * i], &word, sizeof(word));
	}
	if (strlen(text) < 8 * words + 2 || sscanf(text + 8 * words, ":%4x", &port) != 1)
		return -1;
	*out_port = (int)port;
	return 0;
}

static bool is_server(const struct address *server, const struct in6_addr *local)
{
	static const struct in6_addr any;

	if (server->sa.any.sa_family == AF_INET)
		return server->sa.v4.sin_addr.s_addr == INADDR_ANY ||
		       memcmp(local, &server->sa.v4.sin_addr, sizeof(struct in_addr)) == 0;
	return memcmp(&server->sa.v6.sin6_addr, &any, sizeof(any)) == 0 ||
	       memcmp(local, &server->sa.v6.sin6_addr, sizeof(any)) == 0;
}

static void format_endpoint(const struct in6_addr *address, bool is_v6, int port, char *out,
			    size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (is_v6 && IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], host, sizeof(host));
	else
		inet_ntop(is_v6 ? AF_INET6 : AF_INET, address, host, sizeof(host));
	snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

/* "  1: 0100007F:2AEF 0100007F:D6B2 01 …"; the heading is no such line. */
static void take_tcp(struct clients_scan *scan, const char *line)
{
	bool is_v6 = scan->server.sa.any.sa_family == AF_INET6;
	char local_text[48], remote_text[48], address[64];
	struct in6_addr local, remote;
	int local_port, remote_port;
	unsigned state;

	if (sscanf(line, " %*u: %47s %47s %x", local_text, remote_text, &state) != 3 ||
	    (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) ||
	    parse_endpoint(local_text, is_v6, &local, &local_port) < 0 ||
	    local_port != scan->server.port || !is_server(&scan->server, &local) ||
	    parse_endpoint(remote_text, is_v6, &remote, &remote_port) < 0)
		return;
	format_endpoint(&remote, is_v6, remote_port, address, sizeof(address));
	if (!is_known(scan, address))
		add_client(scan, address, remote_port);
}

/*
 * "00000000a8dc5939: 00000002 00000000 00000000 0001 03 480999 /run/x.sock": a connection that the
 * server has accepted has its path.
 */
static void take_unix(struct clients_scan *scan, const char *line)
{
	unsigned state;
	int path_at = 0;

	if (sscanf(line, "%*x: %*x %*x %*x %*x %x %*u %n", &state, &path_at) == 1 && path_at > 0 &&
	    state == UNIX_CONNECTED && streq(line + path_at, scan->server.sa.local.sun_path))
		add_client(scan, "a local process", 0);
}

static void read_table(struct clients_scan *scan)
{
	bool is_unix = address_is_unix(&scan->server);
	const char *table = is_unix                                     ? "unix"
			    : scan->server.sa.any.sa_family == AF_INET6 ? "tcp6"
									: "tcp";
	_cleanup_free_ char *path = xasprintf("%s/net/%s", scan->clients->proc_root, table);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, TABLE_BYTES_MAX, NULL);
	char *save = NULL;

	if (!text) {
		err_set(&scan->err, ERR_UNAVAILABLE,
			"the connected clients cannot be found: %s: %s", path, strerror(errno));
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (is_unix)
			take_unix(scan, line);
		else
			take_tcp(scan, line);
	}
}

static void run_scans(void *context, struct worker_jobs *jobs, size_t count)
{
	struct worker_job *job;

	STAILQ_FOREACH(job, jobs, entry)
		read_table(container_of(job, struct clients_scan, job));
}

/* ---- the loop ---- */

static struct own_port *find_own(struct clients *clients, int port)
{
	struct own_port *own;

	STAILQ_FOREACH(own, &clients->own, entry) {
		if (own->port == port)
			return own;
	}
	return NULL;
}

static void drop_own(struct clients *clients, struct own_port *own)
{
	STAILQ_REMOVE(&clients->own, own, own_port, entry);
	free(own);
}

static void drop_closed(struct clients *clients)
{
	struct own_port *own = STAILQ_FIRST(&clients->own), *next;

	for (; own && clients->scans == 0; own = next) {
		next = STAILQ_NEXT(own, entry);
		if (!own->open)
			drop_own(clients, own);
	}
}

void clients_own_port(struct clients *clients, int port, bool open)
{
	struct own_port *own = find_own(clients, port);

	if (!own && open) {
		own = xnew(struct own_port);
		own->port = port;
		STAILQ_INSERT_TAIL(&clients->own, own, entry);
	}
	if (own)
		own->open = open;
	drop_closed(clients);
}

static void leave_out_own(struct clients_scan *scan)
{
	size_t kept = 0;

	for (size_t i = 0; i < scan->count; i++) {
		if (scan->ports[i] == 0 || !find_own(scan->clients, scan->ports[i]))
			scan->found[kept++] = scan->found[i];
	}
	scan->count = kept;
}

static void on_scanned(struct worker_job *job)
{
	struct clients_scan *scan = container_of(job, struct clients_scan, job);
	struct clients *clients = scan->clients;

	leave_out_own(scan);
	clients->scans--;
	drop_closed(clients);
	if (scan->done)
		scan->done(scan->arg, scan->found, scan->count, &scan->err);
	free(scan->found);
	free(scan->ports);
	free(scan);
}

struct clients_scan *clients_scan_start(struct clients *clients, const struct address *server,
					clients_done_fn done, void *arg)
{
	struct clients_scan *scan = xnew(struct clients_scan);

	scan->clients = clients;
	scan->server = *server;
	scan->done = done;
	scan->arg = arg;
	scan->job.done = on_scanned;
	clients->scans++;
	worker_submit(clients->worker, &scan->job);
	return scan;
}

void clients_scan_cancel(struct clients_scan *scan)
{
	scan->done = NULL;
}

struct clients *clients_new(struct loop *loop, const char *proc_root, struct err *err)
{
	struct clients *clients = xnew(struct clients);

	clients->proc_root = xstrdup(proc_root);
	STAILQ_INIT(&clients->own);
	clients->worker = worker_new(loop, "nbd-clients", 16, run_scans, clients, err);
	return clients->worker ? clients : clients_free(clients);
}

struct clients *clients_free(struct clients *clients)
{
	if (!clients)
		return NULL;
	worker_free(clients->worker);
	assert(clients->scans == 0);
	while (!STAILQ_EMPTY(&clients->own))
		drop_own(clients, STAILQ_FIRST(&clients->own));
	free(clients->proc_root);
	free(clients);
	return NULL;
}
