/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A certificate is renewed while the daemon runs, by a program that replaces its files and tells
 * nobody. So a new connection looks whether the files are still those that were read, and uses the
 * new ones. If these are of no use, for example because only one of the two is there yet, the
 * earlier ones stay in use until the next look. Nobody looks at a certificate that is not renewed,
 * so health says it some days before it expires.
 *
 * libevent's streams encrypt at once what is written to them, and call back from within. So their
 * callbacks are deferred: no connection ends inside the function that wrote to it.
 */

#include "api/rest/tls.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/tls_identity.h"

#define LOOK_MS 1000
#define EXPIRY_LOOK_MS INT64_C(3600000)
/* Forward secrecy and encryption that is authenticated; TLS 1.3 has no other. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

/* The state of a file in which it was read. */
struct stamp {
	dev_t device;
	ino_t inode;
	struct timespec changed;
};

struct rest_tls {
	struct loop *loop;
	char *cert, *key; /* paths */
	struct stamp cert_stamp, key_stamp;
	SSL_CTX *context;
	int64_t looked_ms;
	char *refused; /* why files that are newer are not used; NULL: there are none */
	char *words;   /* as told last */
	rest_tls_changed_fn changed;
	void *arg;
	struct loop_timer expiry;
};

/* ---- reading the files ---- */

static int look_at(const char *path, struct stamp *out, struct err *err)
{
	struct stat st;

	if (tls_identity_look(path, &st, err) < 0)
		return -1;
	*out = (struct stamp){ st.st_dev, st.st_ino, st.st_ctim };
	return 0;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static SSL_CTX *context_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1)
		abort(); /* out of memory */
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	return context;
}

/* 1: the files are those that are in use. */
static int load(struct rest_tls *tls, struct err *err)
{
	struct stamp cert = { 0 }, key = { 0 };
	SSL_CTX *context;

	if (look_at(tls->cert, &cert, err) < 0 || look_at(tls->key, &key, err) < 0)
		return -1;
	if (tls->context && is_same(&cert, &tls->cert_stamp) && is_same(&key, &tls->key_stamp))
		return 1;
	context = context_new();
	if (tls_identity_read(context, tls->cert, tls->key, err) < 0) {
		SSL_CTX_free(context);
		return -1;
	}
	SSL_CTX_free(tls->context);
	tls->context = context;
	tls->cert_stamp = cert;
	tls->key_stamp = key;
	return 0;
}

/* ---- health ---- */

static char *words_of(const struct rest_tls *tls)
{
	char *fault;

	if (tls->refused)
		return xasprintf("the files of http.tls_dir have changed and are not used: %s",
				 tls->refused);
	fault = tls_identity_fault(tls->context, tls->cert);
	return fault ? fault : xstrdup("healthy");
}

static void tell(struct rest_tls *tls)
{
	char *words = words_of(tls);
	bool is_first = !tls->words; /* the check of the configuration has logged it */

	if (streq(words, tls->words)) {
		free(words);
		return;
	}
	free(tls->words);
	tls->words = words;
	if (!is_first && !streq(words, "healthy"))
		log_warning("rest: %s", words);
	tls->changed(tls->arg, words);
}

int rest_tls_reload(struct rest_tls *tls, struct err *err)
{
	struct err why = { 0 };
	int r = load(tls, &why);

	tls->looked_ms = clock_mono_ms();
	free(tls->refused);
	tls->refused = r < 0 ? xstrdup(why.text) : NULL;
	if (r == 0)
		log_notice("rest: the certificate in %s was read anew", tls->cert);
	tell(tls);
	return r < 0 ? err_set(err, why.code, "%s", why.text) : 0;
}

/* Also finds files that were renewed while no client came. */
static void on_expiry(struct loop_timer *timer)
{
	struct rest_tls *tls = container_of(timer, struct rest_tls, expiry);

	rest_tls_reload(tls, NULL);
	loop_timer_set(tls->loop, timer, EXPIRY_LOOK_MS);
}

/* ---- life ---- */

static void set_paths(struct rest_tls *tls, const char *dir)
{
	tls->cert = xasprintf("%s/server-cert.pem", dir);
	tls->key = xasprintf("%s/server-key.pem", dir);
}

static void clear(struct rest_tls *tls)
{
	SSL_CTX_free(tls->context);
	free(tls->cert);
	free(tls->key);
	free(tls->refused);
	free(tls->words);
}

int rest_tls_check(const char *dir, struct err *err)
{
	struct rest_tls tls = { 0 };
	_cleanup_free_ char *fault = NULL;
	int r;

	set_paths(&tls, dir);
	r = load(&tls, err);
	fault = r == 0 ? tls_identity_fault(tls.context, tls.cert) : NULL;
	if (fault)
		log_warning("rest: %s", fault);
	clear(&tls);
	return r;
}

struct rest_tls *rest_tls_open(struct loop *loop, const char *dir, rest_tls_changed_fn changed,
			       void *arg, struct err *err)
{
	struct rest_tls *tls = xnew(struct rest_tls);

	tls->loop = loop;
	set_paths(tls, dir);
	tls->changed = changed;
	tls->arg = arg;
	tls->expiry.fire = on_expiry;
	if (load(tls, err) < 0)
		return rest_tls_close(tls);
	tls->looked_ms = clock_mono_ms();
	tell(tls);
	loop_timer_set(loop, &tls->expiry, EXPIRY_LOOK_MS);
	return tls;
}

struct rest_tls *rest_tls_close(struct rest_tls *tls)
{
	if (!tls)
		return NULL;
	loop_timer_clear(tls->loop, &tls->expiry);
	clear(tls);
	free(tls);
	return NULL;
}

bool rest_tls_is_for(const struct rest_tls *tls, const char *host)
{
	X509 *cert = SSL_CTX_get0_certificate(tls->context);
	unsigned char address[sizeof(struct in6_addr)];
	bool is_address =
		inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	int r = is_address ? X509_check_ip_asc(cert, host, 0)
			   : X509_check_host(cert, host, 0, 0, NULL);

	ERR_clear_error();
	return r == 1;
}

/* ---- streams ---- */

struct bufferevent *rest_tls_accept(struct rest_tls *tls, struct event_base *base)
{
	struct bufferevent *stream;
	SSL *ssl;

	if (clock_mono_ms() - tls->looked_ms >= LOOK_MS)
		rest_tls_reload(tls, NULL);
	ssl = SSL_new(tls->context);
	stream = ssl ? bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
						      BEV_OPT_CLOSE_ON_FREE |
							      BEV_OPT_DEFER_CALLBACKS)
		     : NULL;
	if (!stream)
		abort(); /* out of memory */
	return stream;
}

bool stream_is_encrypted(struct bufferevent *stream)
{
	return bufferevent_openssl_get_ssl(stream) != NULL;
}

/*
 * If the kernel takes no byte more at this moment, the word that ends the stream is left out. The
 * client knows the end of an answer by its length.
 */
static void say_the_end(SSL *ssl)
{
	if (SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	ERR_clear_error();
}

void stream_end_output(struct bufferevent *stream)
{
	SSL *ssl = bufferevent_openssl_get_ssl(stream);

	if (ssl)
		say_the_end(ssl);
	shutdown(bufferevent_getfd(stream), SHUT_WR);
}

/* OpenSSL has read only the beginning of the request, and a socket that is closed before all was
 * read drops the answer. */
static void answer_in_the_clear(int fd)
{
	static const char body[] =
		"{\"error\":\"this address takes https, and the request is not encrypted\","
		"\"code\":\"INVALID_REQUEST\"}";
	char text[512], rest[4096];
	int length = snprintf(text, sizeof(text),
			      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
			      "Content-Length: %zu\r\nCache-Control: no-store\r\n"
			      "Connection: close\r\n\r\n%s",
			      strlen(body), body);

	(void)recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
	(void)send(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void stream_leave(struct bufferevent *stream)
{
	SSL *ssl = bufferevent_openssl_get_ssl(stream);

	if (!ssl)
		return;
	if (ERR_GET_REASON(bufferevent_get_openssl_error(stream)) == SSL_R_HTTP_REQUEST)
		answer_in_the_clear(bufferevent_getfd(stream));
	/* A client must not take a part of an answer for all of it. */
	else if (evbuffer_get_length(bufferevent_get_output(stream)) == 0)
		say_the_end(ssl);
}
