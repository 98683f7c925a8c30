/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The codes of the server and of the library: which kind of fault each is, and the advice for it.
 */

#include "store/mariadb/fault.h"

#include <errmsg.h>
#include <mysqld_error.h>

#include "io/certificate.h"

static enum mariadb_fault fault_of(unsigned code)
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
	case ER_NOT_SUPPORTED_YET:
		return "a cluster needs a MariaDB whose nodes have GET_LOCK(): 10.6.14, 10.11.4 or newer";
	case ER_UNKNOWN_COM_ERROR:
		return "the node has no quorum: bring the other nodes back";
	case CR_PLUGIN_NOT_ALLOWED:
		return "make sure that it is the right server, and let its user log in by "
		       "mysql_native_password or ed25519";
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

/* NULL unless the text is about the server's certificate. */
static char *certificate_text(const struct mariadb_session *session, const char *text)
{
	const struct mariadb_url *url = &session->cluster->url;
	const char *host = url->hosts[session->host].name;
	_cleanup_free_ char *file =
		url->ca ? xasprintf("%s (ca= in the store url)", url->ca)
			: xstrdup("the system's, or into a file that ca= in the store url names");
	const struct certificate_place place = { .name = str_or(host, "localhost"),
						 .address = "the store url",
						 .authorities = file };

	return certificate_fault_text(certificate_fault_in(text), &place);
}

enum mariadb_fault mariadb_set_error(struct mariadb_session *session, unsigned code,
				     const char *text, struct err *err)
{
	enum mariadb_fault fault = fault_of(code);
	_cleanup_free_ char *certificate =
		code == CR_SSL_CONNECTION_ERROR ? certificate_text(session, text) : NULL;

	session->code = code;
	if (code == ER_NET_PACKET_TOO_LARGE)
		err_set(err, ERR_TOO_LARGE,
			"the store refuses a row: %s; send less, or raise max_allowed_packet of the "
			"server",
			text);
	else if (fault == MARIADB_OWN)
		err_set(err, ERR_INTERNAL, "the store refuses a row: %s", text);
	else
		err_set(err, ERR_UNAVAILABLE,
			"the store %s cannot be used: %s (MariaDB code %u); %s",
			session->cluster->url.shown, text, code,
			certificate ? certificate : advice(code));
	return fault;
}
