/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread accepts, a thread per connection serves; blocking calls all the way, since simple is
 * what a test server has to be. At the end all connections are shut down, which ends their threads,
 * and everything is joined.
 */
#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/util.h"

#define REQUEST_MAX 2000000

struct http_server_connection {
	struct http_server_connection *next;
	struct http_server *server;
	pthread_t thread;
	int fd;
	SSL *ssl;
};

/* ---- TLS ---- */

static X509 *make_certificate(EVP_PKEY *key, long from_s, long to_s)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_EXTENSION *alternative =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_set_version(certificate, 2);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
	X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
				   0);
	X509_set_issuer_name(certificate, name);
	X509_add_ext(certificate, alternative, -1);
	X509_EXTENSION_free(alternative);
	X509_sign(certificate, key, EVP_sha256());
	return certificate;
}

static void set_up_tls(struct http_server *server, long from_s, long to_s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, from_s, to_s);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	FILE *file;

	strcpy(server->ca_file, "/tmp/test-http-ca-XXXXXX");
	file = fdopen(mkstemp(server->ca_file), "w");
	PEM_write_X509(file, certificate);
	fclose(file);
	SSL_CTX_use_certificate(tls, certificate);
	SSL_CTX_use_PrivateKey(tls, key);
	server->tls = tls;
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* ---- one connection ---- */

static ssize_t receive(struct http_server_connection *c, char *out, size_t size)
{
	return c->ssl ? SSL_read(c->ssl, out, (int)size) : recv(c->fd, out, size, 0);
}

static bool send_all(struct http_server_connection *c, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)length)
				   : send(c->fd, bytes, length, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		length -= (size_t)n;
	}
	return true;
}

static bool answer_at(struct http_server_connection *c, int status, const char *location,
		      const char *body, size_t length)
{
	char head[512];

	snprintf(head, sizeof(head),
		 "HTTP/1.1 %d Whatever"
		 "\r\nContent-Type: application/json\r\n"
		 "Location: %s\r\nContent-Length: %zu\r\n\r\n",
		 status, location, length);
	return send_all(c, head, strlen(head)) && send_all(c, body, length);
}

static bool answer(struct http_server_connection *c, int status, const char *body, size_t length)
{
	return answer_at(c, status, "/ok", body, length);
}

/* Head and body into text; false when the client has left. */
static bool read_request(struct http_server_connection *c, char *text, size_t size,
			 const char **out_body)
{
	size_t length = 0, body_length = 0;
	char *end = NULL;

	for (;;) {
		ssize_t n = receive(c, text + length, size - 1 - length);

		if (n <= 0)
			return false;
		length += (size_t)n;
		text[length] = '\0';
		end = end ? end : strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		if (strcasestr(text, "\r\nContent-Length: ") &&
		    strcasestr(text, "\r\nContent-Length: ") < end)
			body_length =
				strtoul(strcasestr(text, "\r\nContent-Length: ") + 18, NULL, 10);
		*out_body = end + 4;
		if (length - (size_t)(end + 4 - text) >= body_length)
			return true;
	}
}

static bool hold(struct http_server_connection *c, char letter)
{
	struct http_server *server = c->server;
	struct pollfd poll_fd = { .fd = c->fd, .events = POLLRDHUP };
	int now = atomic_fetch_add(&server->holding, 1) + 1,
	    most = atomic_load(&server->most_holding);
	bool open = false;

	while (now > most && !atomic_compare_exchange_weak(&server->most_holding, &most, now))
		;
	pthread_mutex_lock(&server->lock);
	server->hold_order[strlen(server->hold_order)] = letter;
	pthread_mutex_unlock(&server->lock);
	sem_post(&server->held);
	while (!open && poll(&poll_fd, 1, 1) == 0)
		open = sem_trywait(&server->gate) == 0;
	atomic_fetch_sub(&server->holding, 1);
	if (!open)
		sem_post(&server->gone);
	return open && answer(c, 200, "hello", 5);
}

/* True while the connection is to be kept. */
static bool serve(struct http_server_connection *c, const char *path, const char *body)
{
	static char large[100000];

	if (str_has_prefix(path, "/echo"))
		return answer(c, 200, body, strlen(body));
	if (str_has_prefix(path, "/status/"))
		return answer(c, atoi(path + 8), "why", 3);
	if (str_has_prefix(path, "/redirect"))
		return answer(c, 302, "", 0);
	if (str_has_prefix(path, "/moved"))
		return answer_at(c, 302,
				 "https://me:topsecret@cloud.example:8443/login?key=topsecret", "",
				 0);
	if (str_has_prefix(path, "/large"))
		return answer(c, 200, memset(large, 'x', sizeof(large)), sizeof(large));
	if (str_has_prefix(path, "/half")) {
		send_all(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", 51);
		return false;
	}
	if (str_has_prefix(path, "/nothing"))
		return false;
	if (str_has_prefix(path, "/hold"))
		return hold(c, path[strlen(path) - 1]);
	answer(c, 200, "hello", 5);
	return !str_has_prefix(path, "/leave");
}

static void *connection_thread(void *arg)
{
	struct http_server_connection *c = arg;
	struct http_server *server = c->server;
	_cleanup_free_ char *text = xmalloc(REQUEST_MAX);
	char path[256];
	const char *body;

	if (server->tls) {
		c->ssl = SSL_new(server->tls);
		SSL_set_fd(c->ssl, c->fd);
		if (SSL_accept(c->ssl) <= 0)
			goto out;
	}
	while (read_request(c, text, REQUEST_MAX, &body)) {
		atomic_fetch_add(&server->requests, 1);
		pthread_mutex_lock(&server->lock);
		snprintf(server->last_request, sizeof(server->last_request), "%s", text);
		pthread_mutex_unlock(&server->lock);
		if (sscanf(text, "%*s %255s", path) != 1 || !serve(c, path, body))
			break;
	}
out:
	shutdown(c->fd, SHUT_RDWR); /* closed when joined, so that the number stays ours */
	sem_post(&server->closed);
	return NULL;
}

/* ---- the server ---- */

static void *accept_thread(void *arg)
{
	struct http_server *server = arg;
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct http_server_connection *c = xnew(struct http_server_connection);

		atomic_fetch_add(&server->connections, 1);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		c->server = server;
		c->fd = fd;
		c->next = server->first;
		server->first = c;
		pthread_create(&c->thread, NULL, connection_thread, c);
	}
	return NULL;
}

static struct http_server *serve_on(struct http_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	pthread_mutex_init(&server->lock, NULL);
	sem_init(&server->held, 0, 0);
	sem_init(&server->gone, 0, 0);
	sem_init(&server->gate, 0, 0);
	sem_init(&server->closed, 0, 0);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server->listener, (struct sockaddr *)&address, size) < 0 ||
	    listen(server->listener, 64) < 0 ||
	    getsockname(server->listener, (struct sockaddr *)&address, &size) < 0)
		abort();
	server->port = ntohs(address.sin_port);
	pthread_create(&server->thread, NULL, accept_thread, server);
	return server;
}

struct http_server *http_server_new_valid(long from_s, long to_s)
{
	struct http_server *server = xnew(struct http_server);

	set_up_tls(server, from_s, to_s);
	return serve_on(server);
}

struct http_server *http_server_new(bool tls)
{
	return tls ? http_server_new_valid(-3600, 24L * 3600) : serve_on(xnew(struct http_server));
}

void http_server_free(struct http_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	while (server->first) {
		struct http_server_connection *c = server->first;

		server->first = c->next;
		shutdown(c->fd, SHUT_RDWR);
		pthread_join(c->thread, NULL);
		SSL_free(c->ssl);
		close(c->fd);
		free(c);
	}
	pthread_mutex_destroy(&server->lock);
	if (server->tls) {
		SSL_CTX_free(server->tls);
		unlink(server->ca_file);
	}
	free(server);
}
