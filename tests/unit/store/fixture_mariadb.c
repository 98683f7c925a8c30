/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A private database server for the whole test program, and a database of its own for each test.
 * The server listens on a socket only and dies with the program. It is away when it only reads: the
 * user has no right to write then.
 */

#include <fcntl.h>
#include <ftw.h>
#include <mysql.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fixture.h"

static struct {
	char *folder;
	char *socket;
	pid_t pid;
	MYSQL *root;
	unsigned databases;
} server;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void stop_server(void)
{
	if (server.root)
		mysql_close(server.root);
	if (server.pid > 0) {
		kill(server.pid, SIGKILL);
		waitpid(server.pid, NULL, 0);
	}
	nftw(server.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static pid_t start(char *const *arguments, const char *log)
{
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execvp(arguments[0], arguments);
	_exit(127);
}

/* The end of the server's log. */
static _Noreturn void say_why(void)
{
	_cleanup_free_ char *path = xasprintf("%s/log", server.folder);
	_cleanup_free_ char *log = read_file_at(AT_FDCWD, path, 1 << 20, NULL);

	fprintf(stderr, "the database server does not start:\n%s\n", str_or(log, ""));
	exit(1);
}

/* False where there is no server to start. */
static bool copy_tables(char *folder, const char *log)
{
	int status = 0;

	waitpid(start((char *const[]){ (char[]){ TABLES }, folder, NULL }, log), &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		say_why();
	return true;
}

static void connect_root(void)
{
	int status;

	for (;;) {
		server.root = mysql_init(NULL);
		mysql_options(server.root, MYSQL_SET_CHARSET_NAME, "utf8mb4");
		mysql_options(server.root, MYSQL_INIT_COMMAND, "SET time_zone = '+00:00'");
		if (mysql_real_connect(server.root, NULL, "root", NULL, NULL, 0, server.socket, 0))
			return;
		mysql_close(server.root);
		server.root = NULL;
		if (waitpid(server.pid, &status, WNOHANG) != 0) {
			server.pid = 0;
			say_why();
		}
		usleep(20000); /* there is nothing to wait on before the socket */
	}
}

/*
 * Servers must not share a folder for temporary tables: each removes as it starts what it finds
 * there, from under the others. A server is killed here, the machine is not: data that the kernel
 * has is safe.
 */
bool fixture_mariadb_start(void)
{
	char folder[] = "/tmp/volume-daemon-mariadb-XXXXXX";
	_cleanup_free_ char *log = NULL, *data = NULL, *datadir = NULL, *tmpdir = NULL,
			    *socket_option = NULL, *pid_file = NULL;
	struct passwd *user = getpwnam("mysql");

	server.folder = xstrdup(mkdtemp(folder));
	assert_non_null(server.folder);
	atexit(stop_server);
	if (user && geteuid() == 0)
		assert_int_equal(chown(server.folder, user->pw_uid, user->pw_gid), 0);
	log = xasprintf("%s/log", server.folder);
	data = xasprintf("%s/data", server.folder);
	if (!copy_tables(data, log))
		return false;
	datadir = xasprintf("--datadir=%s", data);
	tmpdir = xasprintf("--tmpdir=%s", server.folder);
	server.socket = xasprintf("%s/socket", server.folder);
	socket_option = xasprintf("--socket=%s", server.socket);
	pid_file = xasprintf("--pid-file=%s/pid", server.folder);
	server.pid =
		start((char *const[]){ (char[]){ "mariadbd" }, (char[]){ "--no-defaults" }, datadir,
				       tmpdir, socket_option, pid_file,
				       (char[]){ "--skip-networking" },
				       (char[]){ "--innodb-use-native-aio=0" },
				       (char[]){ "--user=mysql" },
				       (char[]){ "--innodb-buffer-pool-size=32M" },
				       (char[]){ "--innodb-log-file-size=16M" },
				       (char[]){ "--innodb-flush-method=nosync" },
				       (char[]){ "--innodb-flush-log-at-trx-commit=2" }, NULL },
		      log);
	connect_root();
	return true;
}

static void run(const char *format, ...) _printf_(1, 2);
static void run(const char *format, ...)
{
	char *sql = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&sql, format, args) >= 0);
	va_end(args);
	if (mysql_query(server.root, sql) != 0)
		fail_msg("%s: %s", sql, mysql_error(server.root));
	free(sql);
}

void fixture_mariadb_run(struct fixture *f, const char *sql)
{
	run("USE test_%u", server.databases);
	run("%s", sql);
}

void fixture_mariadb_run_all(struct fixture *f, char *sql)
{
	char *statement, *end;

	for (statement = sql; (end = strstr(statement, ";\n")); statement = end + 2) {
		*end = '\0';
		fixture_mariadb_run(f, statement);
	}
}

char *fixture_mariadb_text(struct fixture *f, const char *sql)
{
	struct buf text = BUF_NULL;
	MYSQL_RES *result;
	MYSQL_ROW row;

	fixture_mariadb_run(f, sql);
	result = mysql_store_result(server.root);
	assert_non_null(result);
	while ((row = mysql_fetch_row(result))) {
		for (unsigned i = 0; i < mysql_num_fields(result); i++)
			buf_printf(&text, "%s%s",
				   i             ? "|"
				   : text.length ? "\n"
						 : "",
				   str_or(row[i], "NULL"));
	}
	mysql_free_result(result);
	return text.length ? buf_take(&text) : xstrdup("");
}

static void set_up(struct fixture *f)
{
	unsigned number = ++server.databases;

	run("CREATE DATABASE test_%u", number);
	run("CREATE OR REPLACE USER test@localhost");
	run("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES ON test_%u.* TO test@localhost",
	    number);
	f->url = xasprintf("mariadb://test@/test_%u?socket=%s", number, server.socket);
}

void fixture_mariadb_drop_all(struct fixture *f)
{
	run("DROP DATABASE test_%u", server.databases);
	run("CREATE DATABASE test_%u", server.databases);
}

static void reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

static void set_away(struct fixture *f, bool away)
{
	run("SET GLOBAL read_only = %d", away);
}

static void tear_down(struct fixture *f)
{
	run("DROP DATABASE test_%u", server.databases);
}

static char *history(struct fixture *f, const char *operation_id)
{
	_cleanup_free_ char *sql =
		xasprintf("SELECT CONCAT(COALESCE(previous_status, ''), '>', new_status, "
			  "':', COALESCE(details, '')) FROM volume_operation_history "
			  "WHERE operation_id = '%s' ORDER BY id",
			  operation_id);
	char *text;

	fixture_close(f);
	text = fixture_mariadb_text(f, sql);
	for (char *c = text; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	return text;
}

const struct variant variant_mariadb = {
	.name = "mariadb",
	.set_up = set_up,
	.open = fixture_open,
	.reopen = reopen,
	.set_away = set_away,
	.tear_down = tear_down,
	.history = history,
};

void assert_texts_differ(struct fixture *f)
{
	struct list list;

	assert_ok(fixture_commit(f, batch_with_operation("op-a", OPERATION_COMPLETED)));
	assert_ok(fixture_commit(f, batch_with_operation("op-A", OPERATION_COMPLETED)));
	list = fixture_find(f, "op-a");
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].id, "op-a");
	list_clear(&list);
}
