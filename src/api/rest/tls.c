/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A certificate is renewed while the daemon runs, by a program that replaces its files and tells
 * nobody. So a new connection begins a look whether the files are still those that were read, and
 * connections that come after the look use the new ones. A thread looks and reads, since a file can
 * lie on a server that does not answer; the connection itself does not wait for it. If the files
 * are of no use, for example because only one of the two is there yet, the earlier ones stay in use
 * until the next look. Nobody looks at a certificate that is not renewed, so health says it some
 * days before it expires.
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
#include "io/blocking.h"
#include "io/tls_identity.h"

#define LOOK_MS 1000
#define READ_MS 30000
#define HUNG_MAX 2
#define EXPIRY_LOOK_MS INT64_C(3600000)
/* Forward secrecy and encryption that is authenticated; TLS 1.3 has no other. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

/* The state of a file in which it was read. */
struct stamp {
	dev_t device;
	ino_t inode;
	struct timespec changed;
};

/* The two files, and what they hold. */
struct identity {
	char *cert, *key; /* paths */
	struct stamp cert_stamp, key_stamp;
	SSL_CTX *context; /* NULL: not read */
};

/* A look at the files, on the thread. */
struct look {
	struct stamp cert_stamp, key_stamp; /* of the files that are in use */
	struct identity fresh;
	enum { LOOK_REFUSED, LOOK_SAME, LOOK_FRESH } outcome;
	struct err err; /* of LOOK_REFUSED */
};

struct rest_tls {
	struct loop *loop;
	struct identity used;
	struct blocking_pool *pool;
	struct blocking_call call;
	bool looking;
	bool again; /* a look was asked for while one was under way */
	int64_t looked_ms;
	char *refused; /* why the last look changed nothing, for people; NULL: all is well */
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

static void set_paths(struct identity *identity, const char *dir)
{
	identity->cert = xasprintf("%s/server-cert.pem", dir);
	identity->key = xasprintf("%s/server-key.pem", dir);
}

static void identity_clear(struct identity *identity)
{
	SSL_CTX_free(identity->context);
	free(identity->cert);
	free(identity->key);
	*identity = (struct identity){ 0 };
}

static int look_at_both(struct identity *identity, struct err *err)
{
	return look_at(identity->cert, &identity->cert_stamp, err) < 0 ||
			       look_at(identity->key, &identity->key_stamp, err) < 0
		       ? -1
		       : 0;
}

static int read_both(struct identity *identity, struct err *err)
{
	SSL_CTX *context = context_new();

	if (tls_identity_read(context, identity->cert, identity->key, err) < 0) {
		SSL_CTX_free(context);
		return -1;
	}
	identity->context = context;
	return 0;
}

static int identity_open(struct identity *identity, const char *dir, struct err *err)
{
	set_paths(identity, dir);
	return look_at_both(identity, err) < 0 ? -1 : read_both(identity, err);
}

int rest_tls_check(const char *dir, struct err *err)
{
	struct identity identity = { 0 };
	_cleanup_free_ char *fault = NULL;
	int r = identity_open(&identity, dir, err);

	fault = r == 0 ? tls_identity_fault(identity.context, identity.cert) : NULL;
	if (fault)
		log_warning("rest: %s", fault);
	identity_clear(&identity);
	return r;
}

/* ---- health ---- */

static char *words_of(const struct rest_tls *tls)
{
	char *fault;

	if (tls->refused)
		return xstrdup(tls->refused);
	fault = tls_identity_fault(tls->used.context, tls->used.cert);
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

/* ---- looks at the files, on the thread ---- */

static void look_run(void *work)
{
	struct look *look = work;
	struct identity *fresh = &look->fresh;

	look->outcome = LOOK_REFUSED;
	if (look_at_both(fresh, &look->err) < 0)
		return;
	if (is_same(&fresh->cert_stamp, &look->cert_stamp) &&
	    is_same(&fresh->key_stamp, &look->key_stamp))
		look->outcome = LOOK_SAME;
	else if (read_both(fresh, &look->err) == 0)
		look->outcome = LOOK_FRESH;
}

static void look_free(void *work)
{
	struct look *look = work;

	identity_clear(&look->fresh);
	free(look);
}

/* ---- and on the loop ---- */

static void begin_look(struct rest_tls *tls)
{
	struct look *look = xnew(struct look);

	look->cert_stamp = tls->used.cert_stamp;
	look->key_stamp = tls->used.key_stamp;
	look->fresh.cert = xstrdup(tls->used.cert);
	look->fresh.key = xstrdup(tls->used.key);
	tls->looking = true;
	tls->again = false;
	blocking_start(tls->pool, &tls->call, "reading", look->fresh.cert, look);
}

static void use(struct rest_tls *tls, struct look *look)
{
	identity_clear(&tls->used);
	tls->used = look->fresh;
	look->fresh = (struct identity){ 0 };
	log_notice("rest: the certificate in %s was read anew", tls->used.cert);
}

static char *refusal_of(const struct look *look, const struct err *err)
{
	if (!look)
		return xasprintf("the files of http.tls_dir cannot be looked at, and those that "
				 "were read before stay in use: %s",
				 err->text);
	if (look->outcome != LOOK_REFUSED)
		return NULL;
	return xasprintf("the files of http.tls_dir have changed and are not used: %s",
			 look->err.text);
}

static void on_looked(struct blocking_call *call, void *work, const struct err *err)
{
	struct rest_tls *tls = container_of(call, struct rest_tls, call);
	struct look *look = work;

	tls->looking = false;
	tls->looked_ms = clock_mono_ms();
	free(tls->refused);
	tls->refused = refusal_of(look, err);
	if (look && look->outcome == LOOK_FRESH)
		use(tls, look);
	tell(tls);
	if (tls->again)
		begin_look(tls);
}

void rest_tls_look(struct rest_tls *tls)
{
	if (tls->looking)
		tls->again = true;
	else
		begin_look(tls);
}

/* Also finds files that were renewed while no client came. */
static void on_expiry(struct loop_timer *timer)
{
	struct rest_tls *tls = container_of(timer, struct rest_tls, expiry);

	rest_tls_look(tls);
	loop_timer_set(tls->loop, timer, EXPIRY_LOOK_MS);
}

/* ---- life ---- */

struct rest_tls *rest_tls_open(struct loop *loop, const char *dir, rest_tls_changed_fn changed,
			       void *arg, struct err *err)
{
	const struct blocking_options pool = {
		.name = "certificate",
		.at_once = 1,
		.hung_max = HUNG_MAX,
		.timeout_ms = READ_MS,
		.run = look_run,
		.free_work = look_free,
	};
	struct rest_tls *tls = xnew(struct rest_tls);

	tls->loop = loop;
	tls->call.done = on_looked;
	tls->pool = blocking_pool_new(loop, &pool);
	tls->changed = changed;
	tls->arg = arg;
	tls->expiry.fire = on_expiry;
	if (identity_open(&tls->used, dir, err) < 0)
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
	if (tls->looking)
		blocking_cancel(&tls->call);
	blocking_pool_free(tls->pool);
	identity_clear(&tls->used);
	free(tls->refused);
	free(tls->words);
	free(tls);
	return NULL;
}

bool rest_tls_is_for(const struct rest_tls *tls, const char *host)
{
	X509 *cert = SSL_CTX_get0_certificate(tls->used.context);
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

	if (!tls->looking && clock_mono_ms() - tls->looked_ms >= LOOK_MS)
		begin_look(tls);
	ssl = SSL_new(tls->used.context);
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
