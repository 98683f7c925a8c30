/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reaching one host.
 *
 * While the server is down, any user of its machine may listen on its port, and a server decides
 * how a client proves who it is. Some ways would give the password away: in clear
 * (mysql_clear_password, dialog), to a key that the server itself sends (sha256_password,
 * caching_sha2_password), in a form that is soon broken (mysql_old_password). The library knows
 * them all and takes orders from the server; so only the ways that prove the password without
 * sending it are allowed, with TLS and without.
 *
 * The library goes on without TLS if the server offers none, and we would notice after the login.
 * So the server's first packet, which tells its offer, is looked at before the library reads it.
 * For that the library connects step by step (its non-blocking interface), while the thread waits.
 * It never gets past a greeting that was not seen: the first step ends while the connection is
 * being made.
 *
 * The owner of a socket is the program that listens there.
 */

#include "store/mariadb/connect.h"

#include <errmsg.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "store/mariadb/fault.h"

#define CONNECT_SECONDS 3U
#define PACKET_SECONDS 5U
#define SAFE_AUTHENTICATION "mysql_native_password,client_ed25519"
#define STACK_BYTES ((size_t)512 << 10) /* of a step, on which names are looked up */
#define GREETING_MAX 512                /* what matters comes earlier */
#define GREETING_ERROR 0xff
#define GREETING_VERSION 10

static void set_options(MYSQL *mysql, const struct mariadb_url *url)
{
	const unsigned connect_seconds = CONNECT_SECONDS;
	const unsigned packet_seconds = PACKET_SECONDS;
	const my_bool yes = 1, no = 0;

	mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
	mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &packet_seconds);
	mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &packet_seconds);
	mysql_options(mysql, MYSQL_OPT_RECONNECT, &no);
	mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &(const unsigned){ 0 });
	mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "volume-daemon");
	mysql_optionsv(mysql, MARIADB_OPT_RESTRICTED_AUTH, SAFE_AUTHENTICATION);
	if (url->tls == MARIADB_TLS_OFF)
		return;
	mysql_options(mysql, MYSQL_OPT_NONBLOCK, &(const size_t){ STACK_BYTES });
	mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
	mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
		      url->tls == MARIADB_TLS_VERIFY ? &yes : &no);
	mysql_ssl_set(mysql, url->key, url->cert, url->ca, NULL, NULL);
}

/* ---- the server's greeting ---- */

enum greeting { GREETING_MISSING, GREETING_WITHOUT_TLS, GREETING_PASSES };

/* Looks at the first bytes that came, without taking them. -1: they do not come. */
static int peek(int fd, unsigned char *out, size_t bytes)
{
	const int wanted = (int)bytes, one = 1;
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t got = -1;

	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted));
	if (poll(&wait, 1, CONNECT_SECONDS * 1000) == 1)
		got = recv(fd, out, bytes, MSG_PEEK | MSG_DONTWAIT);
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	return got == wanted ? 0 : -1;
}

/* The server's version as text, the connection's number, 8 bytes, a zero, and what it offers. */
static bool offers_tls(const unsigned char *greeting, size_t length)
{
	const unsigned char *version_end = memchr(greeting, '\0', length);
	size_t flags = version_end ? (size_t)(version_end - greeting) + 1 + 4 + 8 + 1 : length;

	return greeting[0] == GREETING_VERSION && flags + 2 <= length &&
	       (greeting[flags] | greeting[flags + 1] << 8) & CLIENT_SSL;
}

/* The length of the greeting in 3 bytes, a number, the greeting. An error passes: it ends the
 * connection. */
static enum greeting look_at_greeting(int fd)
{
	unsigned char packet[4 + GREETING_MAX];
	size_t length;

	if (peek(fd, packet, 4) < 0)
		return GREETING_MISSING;
	length = packet[0] | (size_t)packet[1] << 8 | (size_t)packet[2] << 16;
	length = length < GREETING_MAX ? length : GREETING_MAX;
	if (length == 0 || peek(fd, packet, 4 + length) < 0)
		return GREETING_MISSING;
	return packet[4] == GREETING_ERROR || offers_tls(packet + 4, length) ? GREETING_PASSES
									     : GREETING_WITHOUT_TLS;
}

/* ---- step by step ---- */

/* Waits for what the library waits for, and returns what has come. */
static int await(MYSQL *mysql, int status)
{
	struct pollfd wait = { .fd = mysql_get_socket(mysql),
			       .events = (short)((status & MYSQL_WAIT_READ ? POLLIN : 0) |
						 (status & MYSQL_WAIT_WRITE ? POLLOUT : 0)) };
	bool has_deadline = status & MYSQL_WAIT_TIMEOUT;
	int count = poll(&wait, 1, has_deadline ? (int)mysql_get_timeout_value_ms(mysql) : -1);

	if (count == 0)
		return MYSQL_WAIT_TIMEOUT;
	/* After an error of the socket the library's next call on it tells the reason. */
	return status & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
}

static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

/* Ends the connection below the library, which then has nothing to read and nowhere to write. */
static void cut(int fd)
{
	char bytes[4096];

	shutdown(fd, SHUT_RDWR);
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

struct target {
	const char *host, *user, *password, *database, *socket;
	unsigned port;
};

#define FLAGS (CLIENT_FOUND_ROWS | CLIENT_REMEMBER_OPTIONS)

/* The greeting that the server sent, before anything was sent to the server. */
static enum greeting connect_with_tls(MYSQL *mysql, const struct target *to, MYSQL **connected)
{
	enum greeting greeting = GREETING_MISSING;
	int status = mysql_real_connect_start(connected, mysql, to->host, to->user, to->password,
					      to->database, to->port, to->socket, FLAGS);

	while (status) {
		int come = await(mysql, status), fd = mysql_get_socket(mysql);

		if (greeting == GREETING_MISSING && is_connected(fd)) {
			greeting = look_at_greeting(fd);
			if (greeting != GREETING_PASSES)
				cut(fd);
		}
		status = mysql_real_connect_cont(connected, mysql, come);
	}
	return greeting;
}

/* ---- the socket ---- */

static bool is_mysql(uid_t uid)
{
	char buffer[4096];
	struct passwd entry, *found = NULL;

	return getpwnam_r("mysql", &entry, buffer, sizeof(buffer), &found) == 0 && found &&
	       found->pw_uid == uid;
}

static int check_socket(const struct mariadb_url *url, struct err *err)
{
	struct stat file;

	/* The connection tells why a socket cannot be reached. */
	if (stat(url->socket, &file) < 0 || file.st_uid == 0 || file.st_uid == geteuid() ||
	    is_mysql(file.st_uid))
		return 0;
	return err_set(err, ERR_UNAVAILABLE,
		       "the store %s cannot be used: the socket %s belongs to user %u, and not to "
		       "root, mysql or the daemon's user; end the program that listens there",
		       url->shown, url->socket, file.st_uid);
}

/* ---- the host ---- */

static enum mariadb_fault refuse(struct mariadb_session *session, enum greeting greeting,
				 struct err *err)
{
	const char *text = mysql_error(session->mysql);
	unsigned code = mysql_errno(session->mysql);

	if (code == CR_PLUGIN_NOT_ALLOWED) /* the library names no plugin, but random bytes */
		text = "it asks for the password in a form that gives the password away";
	if (greeting != GREETING_WITHOUT_TLS)
		mariadb_set_error(session, code, text, err);
	else
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: the server does not offer TLS; set it up "
			"there, or give tls=off in the store url where the network can be trusted",
			session->cluster->url.shown);
	return MARIADB_AWAY;
}

enum mariadb_fault mariadb_reach(struct mariadb_session *session, unsigned index, struct err *err)
{
	const struct mariadb_url *url = &session->cluster->url;
	const struct mariadb_host *host = &url->hosts[index];
	const struct secret *password = session->cluster->password;
	const struct target to = {
		.host = host->name ? host->name : "localhost",
		.user = url->user,
		.password = password ? secret_bytes(password) : NULL,
		.database = url->database,
		.socket = host->name ? NULL : url->socket,
		.port = host->port,
	};
	enum greeting greeting = GREETING_PASSES;
	MYSQL *connected = NULL;

	if (to.socket && check_socket(url, err) < 0)
		return MARIADB_AWAY;
	session->host = index;
	session->mysql = mysql_init(NULL);
	set_options(session->mysql, url);
	/* Otherwise the library would use a socket for "localhost", and ignore the port. */
	mysql_options(session->mysql, MYSQL_OPT_PROTOCOL,
		      &(const unsigned){ host->name ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET });
	if (url->tls != MARIADB_TLS_OFF)
		greeting = connect_with_tls(session->mysql, &to, &connected);
	else
		connected = mysql_real_connect(session->mysql, to.host, to.user, to.password,
					       to.database, to.port, to.socket, FLAGS);
	if (!connected)
		return refuse(session, greeting, err);
	/* The library's own copy, which is not needed any more. */
	if (session->mysql->passwd)
		explicit_bzero(session->mysql->passwd, strlen(session->mysql->passwd));
	return MARIADB_OK;
}
