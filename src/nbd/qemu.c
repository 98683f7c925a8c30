/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of qemu-storage-daemon: one process that serves all exports and takes commands over QMP,
 * on a socket in the run folder or, if a unit of systemd runs it, on the socket of that unit.
 *
 * The process that accepts on the socket is the engine. So the first step is always to connect;
 * only if no process listens, and no process of ours is about to listen, a new engine is started.
 * That way an engine that survived its daemon is found again with its exports and clients, and an
 * engine whose connection was merely lost is not started twice. The connection tells the engine's
 * pid.
 *
 * The settings of an engine of ours are noted in a file beside the socket. An engine found running
 * that listens elsewhere, because the configuration was changed, is ended and replaced. Its pid is
 * in a file as well, so that the engine is known to be ours from the first moment, also while it
 * does not answer.
 */

#include "nbd/qemu.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/process.h"
#include "nbd/qemu_verbs.h"
#include "nbd/tls.h"

#define CONNECT_EVERY_MS 20
/* until it listens; long, since an engine given up too early on a busy machine starts anew */
#define START_MS 30000
#define GREETING_MS 10000
#define TLS_OBJECT "vold-tls"
#define SETTINGS_FILE "qemu-storage-daemon.settings"
#define PID_FILE "qemu-storage-daemon.pid"

struct qemu {
	struct engine *engine;
	char *socket;
	bool is_foreign; /* another program runs it */
	enum { QEMU_AWAY, QEMU_CONNECTING, QEMU_GREETING, QEMU_OPENING, QEMU_UP } stage;
	struct process *process; /* not of a foreign engine */
	/* the process was started here and has never been up: it serves no client */
	bool is_fresh;
	bool was_set_up;         /* a fresh process, at the last look */
	bool was_dismissed;      /* the process was told to end, and the reason was reported */
	pid_t listener;          /* the process that listens on the socket, as far as is known */
	pid_t pid;               /* of the engine that was up last */
	struct loop_timer timer; /* of the stages before UP */
	int64_t until_ms;
	struct qemu_verbs verbs;
};

static void try_to_connect(struct qemu *qemu);

static void go_away(struct qemu *qemu)
{
	qemu->stage = QEMU_AWAY;
	qemu->verbs.qmp = qmp_close(qemu->verbs.qmp);
	loop_timer_clear(qemu->engine->loop, &qemu->timer);
	qemu_verbs_reset(&qemu->verbs);
}

static void dismiss(struct qemu *qemu)
{
	if (!qemu->process)
		return;
	qemu->was_dismissed = true;
	process_end(qemu->process);
}

/* ---- the note about its settings ---- */

static char *settings_text(const struct qemu *qemu)
{
	char address[ADDRESS_TEXT_SIZE];

	address_format(&qemu->engine->address, address, sizeof(address));
	return xasprintf("%s %s\n", address, str_or(qemu->engine->options->tls_dir, "-"));
}

static char *settings_path(const struct qemu *qemu)
{
	return xasprintf("%s/" SETTINGS_FILE, qemu->engine->options->run_dir);
}

static int write_settings(const struct qemu *qemu, struct err *err)
{
	_cleanup_free_ char *path = settings_path(qemu), *text = settings_text(qemu);
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be written: %s", path,
			       strerror(errno));
	return 0;
}

/* Takes over a port that was chosen when the engine was started. */
static void take_port(struct qemu *qemu, const char *text)
{
	_cleanup_free_ char *address_text = xstrndup(text, strcspn(text, " "));
	struct address *address = &qemu->engine->address, noted;

	if (address->port == 0 && !address_is_unix(address) &&
	    address_parse(address_text, &noted, NULL) == 0 && streq(noted.host, address->host))
		address_set_port(address, noted.port);
}

static bool settings_are_ours(struct qemu *qemu)
{
	_cleanup_free_ char *path = settings_path(qemu), *wanted = NULL;
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 8192, NULL);

	if (!text)
		return false;
	take_port(qemu, text);
	wanted = settings_text(qemu);
	return streq(text, wanted);
}

/* ---- the note about its process ---- */

static char *pid_path(const struct qemu *qemu)
{
	return xasprintf("%s/" PID_FILE, qemu->engine->options->run_dir);
}

/* The engine writes the file when it is set up. */
static bool is_set_up(const struct qemu *qemu)
{
	_cleanup_free_ char *path = pid_path(qemu);

	return access(path, F_OK) == 0;
}

static pid_t noted_pid(const struct qemu *qemu)
{
	_cleanup_free_ char *path = pid_path(qemu);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);

	return text ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* ---- the NBD server in it ---- */

static void start_server(struct qemu *qemu);

static bool starts_elsewhere(struct qemu *qemu)
{
	struct err err;

	if (!engine_chose_again(qemu->engine) || write_settings(qemu, &err) < 0)
		return false;
	start_server(qemu);
	return true;
}

static void on_server_started(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;
	bool is_new = qmp_pid(qemu->verbs.qmp) != qemu->pid || qemu->pid == 0;

	/* An engine that was found running has its server already. */
	if (err->code != ERR_NONE && !strstr(err->text, "already running")) {
		if (starts_elsewhere(qemu))
			return;
		go_away(qemu);
		dismiss(qemu);
		engine_refused(qemu->engine, err->text);
		return;
	}
	loop_timer_clear(qemu->engine->loop, &qemu->timer);
	qemu->stage = QEMU_UP;
	qemu->is_fresh = false;
	qemu->pid = qmp_pid(qemu->verbs.qmp);
	engine_up(qemu->engine, is_new);
}

static void start_server(struct qemu *qemu)
{
	const struct address *address = &qemu->engine->address;
	_cleanup_free_ char *port = xasprintf("%d", address->port);
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, "addr");
	json_begin_object(&w);
	json_put_name(&w, "type");
	json_put_text(&w, address_is_unix(address) ? "unix" : "inet");
	json_put_name(&w, "data");
	json_begin_object(&w);
	if (address_is_unix(address)) {
		json_put_name(&w, "path");
		json_put_text(&w, address->sa.local.sun_path);
	} else {
		json_put_name(&w, "host");
		json_put_text(&w, address->host);
		json_put_name(&w, "port");
		json_put_text(&w, port);
	}
	json_end_object(&w);
	json_end_object(&w);
	json_put_name(&w, "max-connections");
	json_put_uint(&w, 0); /* no limit */
	if (qemu->engine->tls) {
		json_put_name(&w, "tls-creds");
		json_put_text(&w, TLS_OBJECT);
	}
	json_end_object(&w);
	qemu_verbs_send(&qemu->verbs, "nbd-server-start", text.data, on_server_started, qemu);
}

/*
 * An engine that was found running has the object already. If the object was refused, the server is
 * refused as well, and its error is clearer.
 */
static void on_tls_added(void *arg, const struct json *result, const struct err *err)
{
	struct qemu *qemu = arg;

	if (err->code != ERR_NONE && !strstr(err->text, "duplicate")) {
		go_away(qemu);
		engine_down(qemu->engine,
			    "qemu-storage-daemon does not take the certificates in %s: %s",
			    qemu->engine->options->tls_dir, err->text);
		return;
	}
	start_server(qemu);
}

static void add_tls(struct qemu *qemu)
{
	const char *tls_dir = qemu->engine->options->tls_dir;
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	json_put_name(&w, "qom-type");
	json_put_text(&w, "tls-creds-x509");
	json_put_name(&w, "id");
	json_put_text(&w, TLS_OBJECT);
	json_put_name(&w, "dir");
	json_put_text(&w, tls_dir);
	json_put_name(&w, "endpoint");
	json_put_text(&w, "server");
	json_put_name(&w, "verify-peer");
	json_put_bool(&w, tls_verifies_clients(tls_dir));
	json_end_object(&w);
	qemu_verbs_send(&qemu->verbs, "object-add", text.data, on_tls_added, qemu);
}

/* ---- its process ---- */

static void on_ended(void *arg, const char *how)
{
	struct qemu *qemu = arg;
	_cleanup_free_ char *reason = xasprintf("qemu-storage-daemon %s", how);

	qemu->process = process_forget(qemu->process);
	qemu->pid = qemu->listener = 0;
	qemu->is_fresh = false;
	if (qemu->stage == QEMU_AWAY) {
		if (!qemu->was_dismissed)
			engine_explain(qemu->engine, reason);
		qemu->was_dismissed = false;
		return;
	}
	qemu->was_dismissed = false;
	go_away(qemu);
	engine_down(qemu->engine, "%s", reason);
}

/* A path as part of an option: QEMU ends it at a comma that is not doubled. */
static char *escape_commas(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (const char *c = path; *c; c++) {
		buf_add_char(&text, *c);
		if (*c == ',')
			buf_add_char(&text, ',');
	}
	return buf_take(&text);
}

static int start_process(struct qemu *qemu, struct err *err)
{
	struct engine *engine = qemu->engine;
	_cleanup_free_ char *program = process_find(qemu_engine.program);
	_cleanup_free_ char *path = escape_commas(qemu->socket);
	_cleanup_free_ char *chardev = xasprintf("socket,id=qmp,path=%s,server=on,wait=off", path);
	_cleanup_free_ char *pid_file = pid_path(qemu);
	const char *const argv[] = {
		program,     "--chardev", chardev, "--monitor", "chardev=qmp,mode=control",
		"--pidfile", pid_file,    NULL
	};

	if (!program)
		return err_set(err, ERR_UNAVAILABLE,
			       "%s is not installed; install Debian's package %s",
			       qemu_engine.program, qemu_engine.package);
	if (engine_choose_port(engine, err) < 0 || write_settings(qemu, err) < 0)
		return -1;
	unlink(qemu->socket); /* left by a dead process; it would be in the way */
	unlink(pid_file);
	qemu->process = process_start(engine->loop, argv, on_ended, qemu, err);
	qemu->is_fresh = qemu->process != NULL;
	qemu->was_set_up = false;
	return qemu->process ? 0 : -1;
}

/* ---- the connection ---- */

/* False: this engine can't be kept, and has been told to end. */
static bool take_over(struct qemu *qemu)
{
	struct err err = { 0 };

	if (qemu->is_foreign || qemu->process || qmp_pid(qemu->verbs.qmp) <= 0)
		return true;
	qemu->process =
		process_adopt(qemu->engine->loop, qmp_pid(qemu->verbs.qmp), on_ended, qemu, &err);
	log_debug("export: an engine is running already, process %d %s",
		  (int)qmp_pid(qemu->verbs.qmp), err.text);
	if (settings_are_ours(qemu))
		return true;
	dismiss(qemu);
	return false;
}

static void on_ready(void *arg)
{
	struct qemu *qemu = arg;

	if (!take_over(qemu)) {
		go_away(qemu);
		engine_down(qemu->engine,
			    "qemu-storage-daemon runs with other settings and is being replaced");
		return;
	}
	qemu->stage = QEMU_OPENING;
	if (qemu->engine->tls)
		add_tls(qemu);
	else
		start_server(qemu);
}

static void on_qmp_event(void *arg, const char *name, const struct json *data)
{
	struct qemu *qemu = arg;

	qemu_verbs_event(&qemu->verbs, name);
}

static void on_closed(void *arg, const struct err *err)
{
	struct qemu *qemu = arg;

	go_away(qemu);
	engine_down(qemu->engine, "the connection to qemu-storage-daemon is lost: %s", err->text);
}

static const struct qmp_handler handler = { .ready = on_ready,
					    .event = on_qmp_event,
					    .closed = on_closed };

static void nobody_listens(struct qemu *qemu)
{
	struct err err;

	qemu->listener = 0;
	if (qemu->is_foreign) {
		go_away(qemu);
		engine_down(qemu->engine, "no qemu-storage-daemon listens on %s; start its unit",
			    qemu->socket);
	} else if (qemu->process || start_process(qemu, &err) == 0) {
		loop_timer_set(qemu->engine->loop, &qemu->timer, CONNECT_EVERY_MS);
	} else {
		go_away(qemu);
		engine_down(qemu->engine, "%s", err.text);
	}
}

/*
 * The engine listens before it is set up, and then hands its socket from one thread to another: if
 * a client connects meanwhile, the engine can fail to greet that client and all later clients. So
 * the engine is given one more turn after it says that it is set up.
 */
static bool may_be_reached(struct qemu *qemu)
{
	bool was_set_up = qemu->was_set_up;

	qemu->was_set_up = !qemu->is_fresh || is_set_up(qemu);
	return !qemu->is_fresh || was_set_up;
}

static void try_to_connect(struct qemu *qemu)
{
	struct err err;

	if (!may_be_reached(qemu)) {
		loop_timer_set(qemu->engine->loop, &qemu->timer, CONNECT_EVERY_MS);
		return;
	}
	qemu->verbs.qmp = qmp_open(qemu->engine->loop, qemu->socket, &handler, qemu, &err);
	if (qemu->verbs.qmp) {
		qemu->listener = qmp_pid(qemu->verbs.qmp);
		qemu->stage = QEMU_GREETING;
		loop_deadline_set(qemu->engine->loop, &qemu->timer, GREETING_MS);
	} else if (err.code == ERR_NOT_FOUND) {
		nobody_listens(qemu);
	} else {
		go_away(qemu);
		engine_down(qemu->engine, "qemu-storage-daemon cannot be reached: %s", err.text);
	}
}

static void on_timer(struct loop_timer *timer)
{
	struct qemu *qemu = container_of(timer, struct qemu, timer);

	if (qemu->stage == QEMU_CONNECTING && clock_waking_ms() < qemu->until_ms) {
		try_to_connect(qemu);
		return;
	}
	/*
	 * An engine that may serve clients goes on, even if it hangs or another program holds the
	 * socket.
	 */
	if (qemu->stage == QEMU_CONNECTING || qemu->is_fresh)
		dismiss(qemu);
	go_away(qemu);
	engine_down(qemu->engine,
		    "qemu-storage-daemon does not answer on %s; a device may hang, or another "
		    "program may hold the socket",
		    qemu->socket);
}

static void attempt(void *self)
{
	struct qemu *qemu = self;

	assert(qemu->stage == QEMU_AWAY);
	qemu->stage = QEMU_CONNECTING;
	qemu->until_ms = clock_waking_ms() + START_MS;
	try_to_connect(qemu);
}

/* ---- the engine ---- */

static char *socket_path(const struct exporter_options *options)
{
	return options->qmp_socket ? xstrdup(options->qmp_socket)
				   : xasprintf("%s/qmp.sock", options->run_dir);
}

static int check_options(const struct exporter_options *options, const struct address *address,
			 struct err *err)
{
	_cleanup_free_ char *path = socket_path(options);

	if (strlen(path) >= sizeof(address->sa.local.sun_path))
		return err_set(err, ERR_INVALID, "%s is too long for the path of a socket", path);
	if (options->qmp_socket && !address_is_unix(address) && address->port == 0)
		return err_set(err, ERR_INVALID,
			       "port 0 needs an engine that the daemon starts itself");
	return 0;
}

static void *open_engine(struct engine *engine, struct err *err)
{
	const struct exporter_options *options = engine->options;
	struct qemu *qemu = xnew(struct qemu);

	qemu->engine = engine;
	qemu->is_foreign = options->qmp_socket != NULL;
	qemu->socket = socket_path(options);
	qemu->timer.fire = on_timer;
	qemu->listener = qemu->is_foreign ? 0 : noted_pid(qemu);
	qemu_verbs_init(&qemu->verbs, engine);
	return qemu;
}

static void close_engine(void *self)
{
	struct qemu *qemu = self;

	go_away(qemu);
	process_free(qemu->process);
	free(qemu->socket);
	free(qemu);
}

static bool is_idle(const void *self)
{
	const struct qemu *qemu = self;

	return qemu_verbs_is_idle(&qemu->verbs);
}

static void begin(void *self, struct export_call *call)
{
	struct qemu *qemu = self;

	qemu_verbs_begin(&qemu->verbs, call);
}

static void abandon(void *self)
{
	struct qemu *qemu = self;

	qemu_verbs_abandon(&qemu->verbs);
}

static int get_pid(const void *self)
{
	const struct qemu *qemu = self;

	return (int)(qemu->process ? process_pid(qemu->process) : qemu->listener);
}

static const char *get_trouble(const void *self)
{
	const struct qemu *qemu = self;
	int64_t waiting_ms = clock_waking_ms() - qemu->verbs.sent_ms;

	if (!qmp_is_busy(qemu->verbs.qmp) || waiting_ms < qemu->engine->options->timeout_ms)
		return NULL;
	return "qemu-storage-daemon does not answer; one of its devices may hang";
}

const struct engine_ops qemu_engine = {
	.program = "qemu-storage-daemon",
	.package = "qemu-system-common",
	.check = check_options,
	.open = open_engine,
	.close = close_engine,
	.attempt = attempt,
	.is_idle = is_idle,
	.begin = begin,
	.abandon = abandon,
	.pid = get_pid,
	.trouble = get_trouble,
};
