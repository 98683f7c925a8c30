/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Neither engine tells who its clients are, but the kernel does: each connection a server has accepted is a line in
 * /proc/net/tcp with the server's address as the local one. Sockets that only wait to be forgotten (FIN_WAIT, TIME_WAIT
 * and the like) have no program behind them any more; CLOSE_WAIT has one, the server has just not noticed yet.
 *
 * Reading that file walks the kernel's whole hash table, some milliseconds on a big machine, hence the worker. Our own
 * handshakes are connections, too. A port of ours is remembered from before it is connected until after the looks that
 * may have seen it.
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

struct export_look {
	struct worker_job job;
	struct export_watch *watch;
	struct export_address server;
	export_looked_fn done; /* NULL: cancelled */
	void *arg;
	struct export_client *clients;
	int *ports; /* of the clients, in the same order; 0 on a unix socket */
	size_t count;
	struct err err;
};

struct export_watch {
	char *proc_root;
	struct worker *worker;
	STAILQ_HEAD(, own_port) own;
	size_t looks; /* started and not ended */
};

/* ---- the thread ---- */

static void add_client(struct export_look *look, const char *address, int port)
{
	if (look->count == EXPORT_CLIENTS_MAX)
		return;
	look->clients = xrealloc(look->clients, (look->count + 1) * sizeof(*look->clients));
	look->ports = xrealloc(look->ports, (look->count + 1) * sizeof(*look->ports));
	snprintf(look->clients[look->count].address, sizeof(look->clients[0].address), "%s", address);
	look->ports[look->count++] = port;
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

static bool is_server(const struct export_address *server, const struct in6_addr *local)
{
	static const struct in6_addr any;

	if (server->sa.any.sa_family == AF_INET)
		return server->sa.v4.sin_addr.s_addr == INADDR_ANY ||
		       memcmp(local, &server->sa.v4.sin_addr, sizeof(struct in_addr)) == 0;
	return memcmp(&server->sa.v6.sin6_addr, &any, sizeof(any)) == 0 ||
	       memcmp(local, &server->sa.v6.sin6_addr, sizeof(any)) == 0;
}

static void format_endpoint(const struct in6_addr *address, bool is_v6, int port, char *out, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (is_v6 && IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[12], host, sizeof(host));
	else
		inet_ntop(is_v6 ? AF_INET6 : AF_INET, address, host, sizeof(host));
	snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

/* "  1: 0100007F:2AEF 0100007F:D6B2 01 …"; the heading is none. */
static void take_tcp(struct export_look *look, const char *line)
{
	bool is_v6 = look->server.sa.any.sa_family == AF_INET6;
	char local_text[48], remote_text[48], address[64];
	struct in6_addr local, remote;
	int local_port, remote_port;
	unsigned state;

	if (sscanf(line, " %*u: %47s %47s %x", local_text, remote_text, &state) != 3 ||
	    (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) ||
	    parse_endpoint(local_text, is_v6, &local, &local_port) < 0 || local_port != look->server.port ||
	    !is_server(&look->server, &local) || parse_endpoint(remote_text, is_v6, &remote, &remote_port) < 0)
		return;
	format_endpoint(&remote, is_v6, remote_port, address, sizeof(address));
	add_client(look, address, remote_port);
}

/* "00000000a8dc5939: 00000002 00000000 00000000 0001 03 480999 /run/x.sock": what the server has accepted has its path. */
static void take_unix(struct export_look *look, const char *line)
{
	unsigned state;
	int path_at = 0;

	if (sscanf(line, "%*x: %*x %*x %*x %*x %x %*u %n", &state, &path_at) == 1 && path_at > 0 &&
	    state == UNIX_CONNECTED && streq(line + path_at, look->server.sa.local.sun_path))
		add_client(look, "a local process", 0);
}

static void read_table(struct export_look *look)
{
	bool is_unix = export_address_is_unix(&look->server);
	const char *table = is_unix ? "unix" : look->server.sa.any.sa_family == AF_INET6 ? "tcp6" : "tcp";
	_cleanup_free_ char *path = xasprintf("%s/net/%s", look->watch->proc_root, table);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, TABLE_BYTES_MAX, NULL);
	char *save = NULL;

	if (!text) {
		err_set(&look->err, ERR_UNAVAILABLE, "who is connected cannot be found out: %s: %s", path,
			strerror(errno));
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (is_unix)
			take_unix(look, line);
		else
			take_tcp(look, line);
	}
}

static void run_looks(void *context, struct worker_jobs *jobs, size_t count)
{
	struct worker_job *job;

	STAILQ_FOREACH(job, jobs, entry)
		read_table(container_of(job, struct export_look, job));
}

/* ---- the loop ---- */

static struct own_port *find_own(struct export_watch *watch, int port)
{
	struct own_port *own;

	STAILQ_FOREACH(own, &watch->own, entry) {
		if (own->port == port)
			return own;
	}
	return NULL;
}

static void drop_own(struct export_watch *watch, struct own_port *own)
{
	STAILQ_REMOVE(&watch->own, own, own_port, entry);
	free(own);
}

static void drop_closed(struct export_watch *watch)
{
	struct own_port *own = STAILQ_FIRST(&watch->own), *next;

	for (; own && watch->looks == 0; own = next) {
		next = STAILQ_NEXT(own, entry);
		if (!own->open)
			drop_own(watch, own);
	}
}

void export_watch_own_port(struct export_watch *watch, int port, bool open)
{
	struct own_port *own = find_own(watch, port);

	if (!own && open) {
		own = xnew(struct own_port);
		own->port = port;
		STAILQ_INSERT_TAIL(&watch->own, own, entry);
	}
	if (own)
		own->open = open;
	drop_closed(watch);
}

static void leave_out_own(struct export_look *look)
{
	size_t kept = 0;

	for (size_t i = 0; i < look->count; i++) {
		if (look->ports[i] == 0 || !find_own(look->watch, look->ports[i]))
			look->clients[kept++] = look->clients[i];
	}
	look->count = kept;
}

static void on_looked(struct worker_job *job)
{
	struct export_look *look = container_of(job, struct export_look, job);
	struct export_watch *watch = look->watch;

	leave_out_own(look);
	watch->looks--;
	drop_closed(watch);
	if (look->done)
		look->done(look->arg, look->clients, look->count, &look->err);
	free(look->clients);
	free(look->ports);
	free(look);
}

struct export_look *export_look_start(struct export_watch *watch, const struct export_address *server,
				      export_looked_fn done, void *arg)
{
	struct export_look *look = xnew(struct export_look);

	look->watch = watch;
	look->server = *server;
	look->done = done;
	look->arg = arg;
	look->job.done = on_looked;
	watch->looks++;
	worker_submit(watch->worker, &look->job);
	return look;
}

void export_look_cancel(struct export_look *look)
{
	look->done = NULL;
}

struct export_watch *export_watch_new(struct loop *loop, const char *proc_root)
{
	struct export_watch *watch = xnew(struct export_watch);

	watch->proc_root = xstrdup(proc_root);
	STAILQ_INIT(&watch->own);
	watch->worker = worker_new(loop, "nbd-clients", 16, run_looks, watch);
	return watch;
}

struct export_watch *export_watch_free(struct export_watch *watch)
{
	if (!watch)
		return NULL;
	worker_free(watch->worker);
	assert(watch->looks == 0);
	while (!STAILQ_EMPTY(&watch->own))
		drop_own(watch, STAILQ_FIRST(&watch->own));
	free(watch->proc_root);
	free(watch);
	return NULL;
}
