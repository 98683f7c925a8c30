/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The part that is the same for all engines: the calls and their ends, and the pauses between
 * attempts to get an engine.
 *
 * Calls that concern the engine run one after the other. An engine works on its commands one by one
 * anyway, and so a call may first look at the present state and then change the differences, with
 * no other call in between. A call that was given up, by its deadline or its caller, leaves the
 * engine busy with the command under way; the next call waits for that. A handshake needs only the
 * engine's server, so it is made at once, beside those calls.
 *
 * Each call is answered from a task of its own. Thus done() may freely add, remove and cancel.
 */

#include "nbd/engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "nbd/tls.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 10000 /* an attempt costs little, and meanwhile no client is served */
#define STEADY_MS 60000    /* an engine that was up that long begins with short pauses again */

/* ---- a call's end ---- */

static void free_items(struct export_call *call)
{
	for (size_t i = 0; i < call->item_count; i++) {
		free((char *)(uintptr_t)call->items[i].name);
		free((char *)(uintptr_t)call->items[i].device_path);
		free((struct export_client *)(uintptr_t)call->items[i].clients);
	}
	free(call->items);
}

static void call_free(struct export_call *call)
{
	loop_timer_clear(call->engine->loop, &call->deadline);
	loop_task_cancel(call->engine->loop, &call->answer);
	free_items(call);
	free(call->name);
	free(call->device_path);
	free(call);
}

static void forget_port(struct export_call *call)
{
	if (call->handshake_port > 0)
		clients_own_port(call->engine->clients, call->handshake_port, false);
	call->handshake_port = 0;
}

static void drop_handshake(struct export_call *call)
{
	if (call->handshake)
		handshake_cancel(call->handshake);
	call->handshake = NULL;
	forget_port(call);
}

/* Takes the call out of its list or its engine. */
static void unlink_call(struct export_call *call)
{
	struct engine *engine = call->engine;

	drop_handshake(call);
	if (engine->current == call) {
		engine->current = NULL;
		engine->ops->abandon(engine->self);
		loop_task_queue(engine->loop, &engine->pump_task);
	} else if (call->stage == CALL_WAITING) {
		TAILQ_REMOVE(&engine->waiting, call, entry);
	} else {
		TAILQ_REMOVE(&engine->others, call, entry);
	}
}

void engine_call_end(struct export_call *call, const struct err *err)
{
	assert(call->stage != CALL_ENDED);
	unlink_call(call);
	loop_timer_clear(call->engine->loop, &call->deadline);
	if (err)
		call->err = *err;
	call->stage = CALL_ENDED;
	TAILQ_INSERT_TAIL(&call->engine->others, call, entry);
	loop_task_queue(call->engine->loop, &call->answer);
}

static void on_answer(struct loop_task *task)
{
	struct export_call *call = container_of(task, struct export_call, answer);
	bool good = call->err.code == ERR_NONE;

	TAILQ_REMOVE(&call->engine->others, call, entry);
	if (call->listed)
		call->listed(call->arg, call->items, good ? call->item_count : 0, &call->err);
	else
		call->done(call->arg, &call->err);
	call_free(call);
}

static void note_seen(struct engine *engine, const char *what)
{
	engine->seen = what;
	engine->seen_ms = clock_mono_ms();
}

/* What was seen last of the server, to be freed. */
static char *last_seen(const struct export_call *call)
{
	const struct engine *engine = call->engine;

	if (call->handshake)
		return xstrdup(handshake_seen(call->handshake));
	if (!engine->seen)
		return xstrdup("nothing");
	return xasprintf("%s %lld ms ago", engine->seen,
			 (long long)(clock_mono_ms() - engine->seen_ms));
}

static void on_deadline(struct loop_timer *timer)
{
	static const char *const asked[] = {
		[EXPORT_ADD] = "to serve export ",
		[EXPORT_REMOVE] = "to close export ",
		[EXPORT_LIST] = "for its exports",
		[EXPORT_CHECK] = "for export ",
	};
	struct export_call *call = container_of(timer, struct export_call, deadline);
	const struct engine *engine = call->engine;
	_cleanup_free_ char *seen = last_seen(call);
	long long allowed_ms = (long long)engine->options->timeout_ms;
	struct err err;

	if (engine->state == ENGINE_STARTING && !call->handshake)
		err_set(&err, ERR_UNAVAILABLE, "%s is still being started after %lld ms",
			engine->ops->program, allowed_ms);
	else
		err_set(&err, ERR_TIMEOUT,
			"%s did not answer within %lld ms, asked %s%s; last seen: %s",
			call->handshake ? "the NBD server" : engine->ops->program, allowed_ms,
			asked[call->verb], str_or(call->name, ""), seen);
	engine_call_end(call, &err);
}

void engine_call_cancel(struct export_call *call)
{
	unlink_call(call);
	call_free(call);
}

/* ---- for engines ---- */

void engine_end(struct engine *engine, const struct err *err)
{
	assert(engine->current);
	if (!err)
		note_seen(engine, "it answered another request");
	engine_call_end(engine->current, err);
}

void engine_add_item(struct engine *engine, const char *name, const char *device_path,
		     bool read_only, const struct export_client *clients, size_t count,
		     bool certain)
{
	struct export_call *call = engine->current;
	struct export_client *copies = count ? xcalloc(count, sizeof(*copies)) : NULL;

	if (count)
		memcpy(copies, clients, count * sizeof(*copies));
	call->items = xrealloc(call->items, (call->item_count + 1) * sizeof(*call->items));
	call->items[call->item_count++] = (struct export_seen){
		.name = xstrdup(name),
		.device_path = xstrdup(device_path),
		.read_only = read_only,
		.clients = copies,
		.client_count = count,
		.clients_certain = certain,
	};
}

void engine_in_use(struct err *err, const char *name, const struct export_client *clients,
		   size_t count, bool certain)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (size_t i = 0; i < count && i < 8; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", clients[i].address);
	if (count > 8)
		buf_printf(&text, " and %zu more", count - 8);
	if (count == 0)
		err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
			       "export %s is in use by a client that cannot be named", name);
	else if (certain || count == 1)
		err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
			       "export %s is in use by NBD client %s", name, text.data);
	else
		err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
			       "export %s is in use by some of the server's NBD clients: %s", name,
			       text.data);
}

static void unavailable(const struct engine *engine, struct err *err)
{
	if (engine->is_taken)
		err_set_field(err, EXPORT_ADDRESS_TAKEN, ERR_UNAVAILABLE,
			      "exports are not available: %s", engine->reason);
	else
		err_set(err, ERR_UNAVAILABLE, "exports are not available: %s", engine->reason);
}

static void on_handshake(void *arg, uint64_t size, const struct err *result)
{
	struct export_call *call = arg;
	struct err err = *result;

	call->handshake = NULL;
	if (err.code == ERR_NONE && call->size != 0 && call->size != size)
		err_set(&err, ERR_CONFLICT, "export %s has %llu bytes and should have %llu",
			call->name, (unsigned long long)size, (unsigned long long)call->size);
	engine_call_end(call, &err);
}

/* A handshake is no call of the engine: it connects as clients do, also if the engine is busy. */
static void start_handshake(struct export_call *call)
{
	struct engine *engine = call->engine;

	TAILQ_REMOVE(&engine->waiting, call, entry);
	TAILQ_INSERT_TAIL(&engine->others, call, entry);
	call->stage = CALL_RUNNING;
	call->handshake = handshake_start(engine->loop, &engine->address, engine->tls, call->name,
					  on_handshake, call);
	call->handshake_port = handshake_port(call->handshake);
	if (call->handshake_port > 0)
		clients_own_port(engine->clients, call->handshake_port, true);
}

/* Ends impossible calls and begins calls that need no engine; returns the first other call. */
static struct export_call *sift_waiting(struct engine *engine)
{
	struct export_call *call = TAILQ_FIRST(&engine->waiting), *next, *first = NULL;
	struct err err;

	for (; call; call = next) {
		next = TAILQ_NEXT(call, entry);
		if (engine->state == ENGINE_DOWN) {
			unavailable(engine, &err);
			engine_call_end(call, &err);
		} else if (engine->state == ENGINE_UP && call->verb == EXPORT_CHECK) {
			start_handshake(call);
		} else if (!first) {
			first = call;
		}
	}
	return first;
}

/* The scan for the clients of an export tells connections of our own by their port, and those of a
 * unix socket not at all. */
static bool may_look(const struct engine *engine)
{
	return engine->state == ENGINE_UP &&
	       (!engine->current || !address_is_unix(&engine->address));
}

static void on_pump_task(struct loop_task *task)
{
	struct engine *engine = container_of(task, struct engine, pump_task);
	struct export_call *call = sift_waiting(engine);

	if (!call || engine->current || engine->state != ENGINE_UP ||
	    !engine->ops->is_idle(engine->self))
		return;
	TAILQ_REMOVE(&engine->waiting, call, entry);
	call->stage = CALL_RUNNING;
	engine->current = call;
	if (!may_look(engine))
		pulse_stop(&engine->pulse);
	engine->ops->begin(engine->self, call);
}

void engine_idle(struct engine *engine)
{
	loop_task_queue(engine->loop, &engine->pump_task);
}

int engine_choose_port(struct engine *engine, struct err *err)
{
	struct address *address = &engine->address;
	int port;

	if (address_is_unix(address) || address->port != 0)
		return 0;
	if (address_free_port(address, &port, err) < 0)
		return -1;
	address_set_port(address, port);
	engine->chose_port = true;
	return 0;
}

/* The engine listens some time after its port was chosen, and meanwhile the kernel may give the
 * port to any other program that asks for a free one. A port that clients know is waited for. */
bool engine_chose_again(struct engine *engine)
{
	struct err err;

	if (!engine->chose_port || engine->was_up || !address_is_taken(&engine->address))
		return false;
	log_debug("export: port %d was free, and is taken", engine->address.port);
	address_set_port(&engine->address, 0);
	return engine_choose_port(engine, &err) == 0;
}

static void on_lost_task(struct loop_task *task)
{
	const struct engine *engine = container_of(task, struct engine, lost_task);

	if (engine->options->lost)
		engine->options->lost(engine->options->arg);
}

/* The engine makes its socket for its own user alone. */
static void share_socket(const struct engine *engine)
{
	const struct address *address = &engine->address;

	if (address_is_unix(address) && address_share_unix(address, engine->options->group) < 0)
		log_warning(
			"export: only root may connect to %s: its group and mode cannot be set: %s",
			address->sa.local.sun_path, strerrordesc_np(errno));
}

void engine_up(struct engine *engine, bool is_new)
{
	log_debug("export: %s is up%s", engine->ops->program, is_new ? ", another one" : "");
	share_socket(engine);
	engine->state = ENGINE_UP;
	pulse_reset(&engine->pulse);
	note_seen(engine, "it came up");
	engine->is_taken = false;
	engine->reason[0] = '\0';
	engine->up_since_ms = clock_mono_ms();
	if (is_new)
		loop_task_queue(engine->loop, &engine->lost_task);
	if (is_new && engine->was_up)
		engine->restarts++;
	engine->was_up = true;
	loop_task_queue(engine->loop, &engine->pump_task);
}

/* The engines say little about a certificate that is out of order, or nothing. */
static void set_reason(struct engine *engine, const char *reason)
{
	struct err certificate;

	if (engine->tls &&
	    tls_check_server(engine->tls, engine->options->tls_dir, &certificate) < 0)
		err_text_format(engine->reason, sizeof(engine->reason), "%s; %s", reason,
				certificate.text);
	else
		err_text_format(engine->reason, sizeof(engine->reason), "%s", reason);
}

void engine_explain(struct engine *engine, const char *reason)
{
	if (engine->state == ENGINE_DOWN)
		set_reason(engine, reason);
}

static void go_down(struct engine *engine)
{
	struct err err;

	log_debug("export: down: %s", engine->reason);
	if (engine->state == ENGINE_UP && clock_mono_ms() - engine->up_since_ms >= STEADY_MS)
		engine->pause_ms = 0;
	engine->pause_ms = engine->pause_ms == 0 ? PAUSE_MIN_MS : engine->pause_ms * 2;
	if (engine->pause_ms > PAUSE_MAX_MS)
		engine->pause_ms = PAUSE_MAX_MS;
	engine->state = ENGINE_DOWN;
	pulse_reset(&engine->pulse);
	loop_task_cancel(engine->loop, &engine->lost_task);
	loop_timer_set(engine->loop, &engine->attempt_timer, engine->pause_ms);
	if (engine->current) {
		unavailable(engine, &err);
		engine_call_end(engine->current, &err);
	}
	loop_task_queue(engine->loop, &engine->pump_task);
}

void engine_down(struct engine *engine, const char *format, ...)
{
	char reason[ERR_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	err_text_vformat(reason, sizeof(reason), format, args);
	va_end(args);
	set_reason(engine, reason);
	engine->is_taken = false;
	go_down(engine);
}

void engine_refused(struct engine *engine, const char *why)
{
	char address[ADDRESS_TEXT_SIZE];
	bool was_taken = engine->is_taken;

	address_format(&engine->address, address, sizeof(address));
	if (!address_is_taken(&engine->address)) {
		engine_down(engine, "%s cannot serve on %s: %s", engine->ops->program, address,
			    why);
		return;
	}
	snprintf(
		engine->reason, sizeof(engine->reason),
		"another program listens on %s already (ss -ltnp names it): stop that program, or set "
		"export.listen to another address",
		address);
	engine->is_taken = true;
	if (!was_taken)
		log_error("export: %s", engine->reason);
	go_down(engine);
}

static void on_attempt_timer(struct loop_timer *timer)
{
	struct engine *engine = container_of(timer, struct engine, attempt_timer);

	engine->state = ENGINE_STARTING;
	engine->ops->attempt(engine->self);
}

/* ---- asking ---- */

struct export_call *engine_call_new(struct engine *engine, enum export_verb verb, const char *name,
				    void *arg)
{
	struct export_call *call = xnew(struct export_call);

	call->engine = engine;
	call->verb = verb;
	call->name = xstrdup(name);
	call->arg = arg;
	call->since_ms = clock_waking_ms();
	call->deadline.fire = on_deadline;
	call->answer.run = on_answer;
	loop_deadline_set(engine->loop, &call->deadline, engine->options->timeout_ms);
	TAILQ_INSERT_TAIL(&engine->waiting, call, entry);
	loop_task_queue(engine->loop, &engine->pump_task);
	return call;
}

/* ---- health ---- */

/*
 * A process that was stopped (SIGSTOP, a debugger) keeps its sockets, and its clients wait; the
 * kernel tells its state at once. "4711 (qemu-storage-da) T 1 …": the name may hold anything.
 */
static bool is_stopped(const struct engine *engine, int pid)
{
	_cleanup_free_ char *path = xasprintf("%s/%d/stat", engine->options->proc_root, pid);
	_cleanup_free_ char *text = pid ? read_file_at(AT_FDCWD, path, 4096, NULL) : NULL;
	const char *state = text ? strrchr(text, ')') : NULL;

	return state && (str_has_prefix(state, ") T") || str_has_prefix(state, ") t"));
}

/* Why the engine does not serve, NULL if it does. */
static const char *find_trouble(const struct engine *engine, int pid, char *text, size_t size)
{
	const char *program = engine->ops->program, *trouble = NULL;

	if (engine->state == ENGINE_UP)
		trouble = engine->ops->trouble(engine->self);
	if (is_stopped(engine, pid))
		err_text_format(
			text, size,
			"%s (pid %d) is stopped and does not answer; continue it with kill -CONT %d",
			program, pid, pid);
	else if (engine->state == ENGINE_DOWN)
		return engine->reason;
	else if (engine->state == ENGINE_STARTING)
		err_text_format(text, size, "%s is being started", program);
	else if (trouble)
		return trouble;
	else if (engine->pulse.err.code == ERR_TIMEOUT)
		err_text_format(
			text, size,
			"%s (pid %d) hangs or is frozen: %s; thaw it, or end it with kill -9 %d",
			program, pid, engine->pulse.err.text, pid);
	else if (engine->pulse.err.code != ERR_NONE)
		err_text_format(text, size, "%s (pid %d) does not serve: %s", program, pid,
				engine->pulse.err.text);
	else
		return NULL;
	return text;
}

void engine_health(const struct engine *engine, struct export_health *out)
{
	int pid = engine->ops->pid(engine->self);
	char text[ERR_TEXT_SIZE];
	const char *trouble = find_trouble(engine, pid, text, sizeof(text));

	memset(out, 0, sizeof(*out));
	snprintf(out->engine, sizeof(out->engine), "%s", engine->ops->program);
	out->pid = pid;
	out->restarts = engine->restarts;
	out->ok = !trouble;
	snprintf(out->reason, sizeof(out->reason), "%s", str_or(trouble, ""));
}

void engine_look(struct engine *engine)
{
	if (may_look(engine))
		pulse_look(&engine->pulse, &engine->address, engine->clients);
}

/* ---- life ---- */

void engine_init(struct engine *engine, struct loop *loop, const struct exporter_options *options)
{
	engine->loop = loop;
	engine->options = options;
	TAILQ_INIT(&engine->waiting);
	TAILQ_INIT(&engine->others);
	engine->attempt_timer.fire = on_attempt_timer;
	engine->lost_task.run = on_lost_task;
	pulse_init(&engine->pulse, loop);
	engine->pump_task.run = on_pump_task;
}

int engine_open(struct engine *engine, const struct engine_ops *ops, struct err *err)
{
	engine->ops = ops;
	engine->self = ops->open(engine, err);
	return engine->self ? 0 : -1;
}

int engine_start(struct engine *engine, struct err *err)
{
	engine->clients = clients_new(engine->loop, engine->options->proc_root, err);
	if (!engine->clients)
		return -1;
	engine->prober = prober_new(engine->loop, engine->options->timeout_ms, NULL);
	loop_timer_set(engine->loop, &engine->attempt_timer, 0);
	return 0;
}

void engine_fini(struct engine *engine)
{
	struct export_call *call;

	if (engine->current)
		engine_call_cancel(engine->current);
	while ((call = TAILQ_FIRST(&engine->waiting)) || (call = TAILQ_FIRST(&engine->others)))
		engine_call_cancel(call);
	if (engine->self)
		engine->ops->close(engine->self);
	pulse_reset(&engine->pulse);
	loop_timer_clear(engine->loop, &engine->attempt_timer);
	loop_task_cancel(engine->loop, &engine->lost_task);
	loop_task_cancel(engine->loop, &engine->pump_task);
	prober_free(engine->prober);
	clients_free(engine->clients);
}
