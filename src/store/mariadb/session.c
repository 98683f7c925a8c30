/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One connection to one of the hosts.
 *
 * All sessions of a store stay with one host, `cluster->host`: in a Galera cluster one node may not
 * have applied yet a change that another node has committed. A session that loses its connection
 * moves `host` on, and the other sessions follow with their next statement. Once connected to a
 * node of a cluster, a session waits until the node has applied everything that the cluster had
 * committed by then; after that no read needs to wait, since all later writes go through the same
 * node.
 *
 * Every wait has a limit: 3 s to connect, 5 s to read or write a packet, 4 s for the lock of a row.
 * A patient session waits for the answer to a statement as long as the server lives, and checks
 * with a second connection that the server lives.
 */

#include "store/mariadb/session.h"

#include <assert.h>
#include <errmsg.h>
#include <mysqld_error.h>
#include <poll.h>

#include "base/log.h"

#define CONNECT_SECONDS 3U
#define PACKET_SECONDS 5U
#define PATIENCE_SECONDS 5

/* ---- the server's codes, as faults and as advice ---- */

enum mariadb_fault mariadb_fault_of(unsigned code)
{
	switch (code) {
	case 0:
		return MARIADB_OK;
	case ER_LOCK_DEADLOCK: /* also a certification failure in a cluster */
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_CHECKREAD:
		return MARIADB_AGAIN;
	case ER_DUP_ENTRY:
	case ER_BAD_NULL_ERROR:
	case ER_NO_DEFAULT_FOR_FIELD:
	case ER_CONSTRAINT_FAILED:
	case ER_NO_REFERENCED_ROW:
	case ER_NO_REFERENCED_ROW_2:
	case ER_ROW_IS_REFERENCED:
	case ER_ROW_IS_REFERENCED_2:
	case ER_WARN_DATA_OUT_OF_RANGE:
	case ER_TRUNCATED_WRONG_VALUE:
	case ER_TRUNCATED_WRONG_VALUE_FOR_FIELD:
	case WARN_DATA_TRUNCATED:
	case ER_DATA_TOO_LONG:
	case ER_NET_PACKET_TOO_LARGE:
		return MARIADB_OWN;
	default:
		return MARIADB_AWAY;
	}
}

static const char *advice(unsigned code)
{
	switch (code) {
	case ER_ACCESS_DENIED_ERROR:
	case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
		return "check the user in the store url and [store] password_file";
	case ER_DBACCESS_DENIED_ERROR:
	case ER_TABLEACCESS_DENIED_ERROR:
		return "give the user SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX and REFERENCES on this "
		       "database";
	case ER_BAD_DB_ERROR:
		return "create the database";
	case ER_CON_COUNT_ERROR:
	case ER_TOO_MANY_USER_CONNECTIONS:
	case ER_USER_LIMIT_REACHED:
		return "raise max_connections or max_user_connections, or close other connections; six are needed";
	case ER_OPTION_PREVENTS_STATEMENT:
		return "the server only reads: make it writable, or name a writable server in the store url";
	case ER_UNKNOWN_COM_ERROR:
		return "the node has no quorum: bring the other nodes back";
	case CR_SSL_CONNECTION_ERROR:
		return "check the server's certificate and the name it is for; ca= in the store url "
		       "names the certificates that sign it";
	case ER_DISK_FULL:
	case ER_RECORD_FILE_FULL:
		return "make room on the server's disk";
	case ER_NO_SUCH_TABLE:
	case ER_BAD_FIELD_ERROR:
		return "another program has changed the daemon's tables: put the missing table or column back";
	case ER_LOCK_DEADLOCK:
	case ER_LOCK_WAIT_TIMEOUT:
		return "other programs hold the rows: end their transactions";
	default:
		return "check the server, its log and the network to it";
	}
}

enum mariadb_fault mariadb_set_error(struct mariadb_session *session, unsigned code,
				     const char *text, struct err *err)
{
	enum mariadb_fault fault = mariadb_fault_of(code);

	session->code = code;
	if (fault == MARIADB_OWN)
		err_set(err, ERR_INTERNAL, "the store refuses a row: %s", text);
	else
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: %s (MariaDB code %u); %s",
			session->cluster->url.shown, text, code, advice(code));
	return fault;
}

static enum mariadb_fault set_last_error(struct mariadb_session *session, struct err *err)
{
	return mariadb_set_error(session, mysql_errno(session->mysql), mysql_error(session->mysql),
				 err);
}

/* ---- reaching one host ---- */

static void set_options(struct mariadb_session *session)
{
	const struct mariadb_url *url = &session->cluster->url;
	const unsigned connect_seconds = CONNECT_SECONDS;
	const unsigned packet_seconds = PACKET_SECONDS;
	const my_bool yes = 1, no = 0;

	mysql_options(session->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
	mysql_options(session->mysql, MYSQL_OPT_READ_TIMEOUT, &packet_seconds);
	mysql_options(session->mysql, MYSQL_OPT_WRITE_TIMEOUT, &packet_seconds);
	mysql_options(session->mysql, MYSQL_OPT_RECONNECT, &no);
	mysql_options(session->mysql, MYSQL_OPT_LOCAL_INFILE, &(const unsigned){ 0 });
	mysql_options(session->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_optionsv(session->mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "volume-daemon");
	if (url->tls == MARIADB_TLS_OFF)
		return;
	mysql_options(session->mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
	mysql_options(session->mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
		      url->tls == MARIADB_TLS_VERIFY ? &yes : &no);
	mysql_ssl_set(session->mysql, url->key, url->cert, url->ca, NULL, NULL);
}

static enum mariadb_fault reach_host(struct mariadb_session *session, unsigned index,
				     struct err *err)
{
	const struct mariadb_url *url = &session->cluster->url;
	const struct mariadb_host *host = &url->hosts[index];
	const struct secret *password = session->cluster->password;

	session->mysql = mysql_init(NULL);
	set_options(session);
	/* Otherwise the library would use a socket for "localhost", and ignore the port. */
	mysql_options(session->mysql, MYSQL_OPT_PROTOCOL,
		      &(const unsigned){ host->name ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET });
	if (!mysql_real_connect(session->mysql, host->name ? host->name : "localhost", url->user,
				password ? secret_bytes(password) : NULL, url->database, host->port,
				host->name ? NULL : url->socket,
				CLIENT_FOUND_ROWS | CLIENT_REMEMBER_OPTIONS)) {
		set_last_error(session, err);
		return MARIADB_AWAY;
	}
	/* The library goes on without TLS if the server offers no TLS. */
	if (url->tls != MARIADB_TLS_OFF && !mysql_get_ssl_cipher(session->mysql)) {
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: the server does not offer TLS; set it up there, "
			"or give tls=off in the store url where the network can be trusted",
			url->shown);
		return MARIADB_AWAY;
	}
	/* The library's own copy, which is not needed any more. */
	if (session->mysql->passwd)
		explicit_bzero(session->mysql->passwd, strlen(session->mysql->passwd));
	session->host = index;
	return MARIADB_OK;
}

/* ---- statements in text ---- */

static enum mariadb_fault ask(struct mariadb_session *session, const char *sql, struct err *err)
{
	return mysql_real_query(session->mysql, sql, strlen(sql)) == 0
		       ? MARIADB_OK
		       : set_last_error(session, err);
}

static bool lives(const struct mariadb_session *session)
{
	struct mariadb_session other = { .cluster = session->cluster };
	enum mariadb_fault fault = reach_host(&other, session->host, NULL);

	mariadb_close(&other);
	return fault == MARIADB_OK;
}

static enum mariadb_fault ask_patiently(struct mariadb_session *session, const char *sql,
					struct err *err)
{
	struct pollfd answer = { .fd = mysql_get_socket(session->mysql), .events = POLLIN };
	int seconds = 0;

	if (mysql_send_query(session->mysql, sql, strlen(sql)) != 0)
		return set_last_error(session, err);
	while (poll(&answer, 1, PATIENCE_SECONDS * 1000) == 0) {
		seconds += PATIENCE_SECONDS;
		log_notice("store: waiting for %s, for %d s so far: %.100s",
			   session->cluster->url.shown, seconds, sql);
		if (!lives(session))
			return mariadb_set_error(session, CR_SERVER_LOST,
						 "it does not answer any more", err);
	}
	return mysql_read_query_result(session->mysql) == 0 ? MARIADB_OK
							    : set_last_error(session, err);
}

enum mariadb_fault mariadb_query(struct mariadb_session *session, const char *sql,
				 mariadb_row_fn row, void *arg, struct err *err)
{
	enum mariadb_fault fault =
		session->patient ? ask_patiently(session, sql, err) : ask(session, sql, err);
	MYSQL_RES *result;
	char **columns;

	if (fault != MARIADB_OK)
		return fault;
	result = mysql_store_result(session->mysql);
	if (!result)
		return mysql_errno(session->mysql) ? set_last_error(session, err) : MARIADB_OK;
	while (row && (columns = mysql_fetch_row(result)) && row(arg, columns))
		;
	mysql_free_result(result);
	return MARIADB_OK;
}

enum mariadb_fault mariadb_run(struct mariadb_session *session, const char *sql, struct err *err)
{
	return mariadb_query(session, sql, NULL, NULL, err);
}

static bool take_number(void *arg, char **columns)
{
	uint64_t *out = arg;

	if (columns[0] && parse_u64(columns[0], out) < 0)
		*out = 0;
	return false;
}

enum mariadb_fault mariadb_number(struct mariadb_session *session, const char *sql, uint64_t *out,
				  struct err *err)
{
	*out = 0;
	return mariadb_query(session, sql, take_number, out, err);
}

void mariadb_quote(struct mariadb_session *session, struct buf *sql, const char *text)
{
	size_t length = strlen(text);
	_cleanup_free_ char *quoted = xmalloc(2 * length + 1);

	mysql_real_escape_string(session->mysql, quoted, text, length);
	buf_printf(sql, "'%s'", quoted);
}

/* ---- setting up ---- */

static enum mariadb_fault set_up(struct mariadb_session *session, struct err *err)
{
	static const char settings[] =
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,"
		"ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
		"tx_isolation = 'READ-COMMITTED', innodb_lock_wait_timeout = 4, lock_wait_timeout = 4, "
		"foreign_key_checks = 1, unique_checks = 1, autocommit = 1, "
		/*
		 * The rows of two merged indexes would have to be sorted; one index gives the rows
		 * in the order of the list.
		 */
		"optimizer_switch = 'index_merge=off'";
	uint64_t is_node = 0;
	enum mariadb_fault fault = mariadb_run(session, settings, err);

	if (fault == MARIADB_OK)
		fault = mariadb_number(session, "SELECT @@wsrep_on", &is_node, err);
	if (fault != MARIADB_OK || !is_node)
		return fault;
	/*
	 * After this statement the node has applied everything that the cluster had committed; see
	 * above.
	 */
	fault = mariadb_run(session, "SET SESSION wsrep_sync_wait = 1", err);
	if (fault == MARIADB_OK)
		fault = mariadb_run(
			session,
			"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
			err);
	if (fault == MARIADB_AGAIN) /* which the server reports as a lock wait */
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: the node cannot catch up with its cluster (MariaDB code %u): it "
			"has no quorum or is far behind; bring the others back",
			session->cluster->url.shown, session->code);
	if (fault == MARIADB_OK)
		fault = mariadb_run(session, "SET SESSION wsrep_sync_wait = 0", err);
	return fault;
}

static enum mariadb_fault connect_host(struct mariadb_session *session, unsigned index,
				       struct err *err)
{
	enum mariadb_fault fault = reach_host(session, index, err);

	if (fault == MARIADB_OK)
		fault = set_up(session, err);
	if (fault == MARIADB_OK && session->connected)
		fault = session->connected(session, err);
	return fault;
}

/* ---- the session ---- */

static void clear_statements(struct mariadb_statements *statements)
{
	MYSQL_STMT **all = (MYSQL_STMT **)statements;

	for (size_t i = 0; i < sizeof(*statements) / sizeof(*all); i++) {
		if (all[i])
			mysql_stmt_close(all[i]);
		all[i] = NULL;
	}
}

void mariadb_close(struct mariadb_session *session)
{
	if (!session->mysql)
		return;
	clear_statements(&session->statements);
	mysql_close(session->mysql);
	session->mysql = NULL;
}

void mariadb_leave(struct mariadb_session *session)
{
	unsigned host = session->host;

	if (!session->mysql)
		return;
	mariadb_close(session);
	/* This does nothing if another session has moved on already. */
	atomic_compare_exchange_strong(&session->cluster->host, &host,
				       (host + 1) % (unsigned)session->cluster->url.host_count);
}

int mariadb_ready(struct mariadb_session *session, struct err *err)
{
	struct mariadb_cluster *cluster = session->cluster;
	unsigned first = atomic_load(&cluster->host);

	if (session->mysql && session->host == first)
		return 0;
	mariadb_close(session);
	for (unsigned i = 0; i < cluster->url.host_count; i++) {
		unsigned index = (first + i) % (unsigned)cluster->url.host_count;

		err_clear(err); /* the last host's */
		if (connect_host(session, index, err) == MARIADB_OK) {
			atomic_compare_exchange_strong(&cluster->host, &first, index);
			return 0;
		}
		mariadb_close(session);
		/* Another daemon has the database there, and the next host would not show this. */
		if (err->code == ERR_CONFLICT)
			return -1;
	}
	return -1;
}
