/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is the same for all engines: the calls and how they end, the pauses between attempts to get an engine, and the
 * handshake, which knows no engine.
 *
 * Calls that concern the engine run one after the other. An engine works on its commands one by one anyway, and so a call
 * may first look at how things are and then change what differs, with nobody in between. A call that was given up, by its
 * deadline or its caller, leaves the engine busy with the command under way; the next call waits for that.
 *
 * Everybody is answered from a task of the call's own. Thus done() may add, remove, cancel as it likes.
 */

#include "nbd/exporter.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "nbd/engine.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 10000 /* trying costs little, and meanwhile nobody is served */
#define STEADY_MS 60000    /* who was up that long begins with short pauses again */

const char *const export_engine_names[EXPORT_ENGINE_COUNT + 1] = {
	[EXPORT_ENGINE_NONE] = "none",
	[EXPORT_ENGINE_QEMU] = "qemu-storage-daemon",
	[EXPORT_ENGINE_NBDKIT] = "nbdkit",
	[EXPORT_ENGINE_NBD_SERVER] = "nbd-server",
};

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
	loop_timer_clear(call->exporter->loop, &call->deadline);
	loop_task_cancel(call->exporter->loop, &call->answer);
	free_items(call);
	free(call->name);
	free(call->device_path);
	free(call);
}

static void forget_port(struct export_call *call)
{
	if (call->check_port > 0)
		clients_own_port(call->exporter->watch, call->check_port, false);
	call->check_port = 0;
}

static void drop_check(struct export_call *call)
{
	if (call->check)
		handshake_cancel(call->check);
	call->check = NULL;
	forget_port(call);
}

/* Takes the call out of whatever it is in. */
static void unlink_call(struct export_call *call)
{
	struct exporter *exporter = call->exporter;

	drop_check(call);
	if (exporter->current == call) {
		exporter->current = NULL;
		exporter->ops->abandon(exporter->engine);
		loop_task_queue(exporter->loop, &exporter->pump_task);
	} else if (call->stage == CALL_WAITING) {
		TAILQ_REMOVE(&exporter->waiting, call, entry);
	} else {
		TAILQ_REMOVE(&exporter->others, call, entry);
	}
}

static void end_call(struct export_call *call, const struct err *err)
{
	assert(call->stage != CALL_ENDED);
	unlink_call(call);
	loop_timer_clear(call->exporter->loop, &call->deadline);
	if (err)
		call->err = *err;
	call->stage = CALL_ENDED;
	TAILQ_INSERT_TAIL(&call->exporter->others, call, entry);
	loop_task_queue(call->exporter->loop, &call->answer);
}

static void on_answer(struct loop_task *task)
{
	struct export_call *call = container_of(task, struct export_call, answer);
	bool good = call->err.code == ERR_NONE;

	TAILQ_REMOVE(&call->exporter->others, call, entry);
	if (call->listed)
		call->listed(call->arg, call->items, good ? call->item_count : 0, &call->err);
	else
		call->done(call->arg, &call->err);
	call_free(call);
}

static void on_deadline(struct loop_timer *timer)
{
	struct export_call *call = container_of(timer, struct export_call, deadline);
	const struct exporter *exporter = call->exporter;
	struct err err;

	if (exporter->state == EXPORTER_STARTING && !call->check)
		err_set(&err, ERR_UNAVAILABLE, "%s is still being started", exporter->ops->program);
	else
		err_set(&err, ERR_TIMEOUT, "%s did not answer within %lld ms",
			call->check ? "the NBD server" : exporter->ops->program,
			(long long)exporter->options.timeout_ms);
	end_call(call, &err);
}

void export_cancel(struct export_call *call)
{
	unlink_call(call);
	call_free(call);
}

/* ---- for engines ---- */

void exporter_end(struct exporter *exporter, const struct err *err)
{
	assert(exporter->current);
	end_call(exporter->current, err);
}

void exporter_add_item(struct exporter *exporter, const char *name, const char *device_path, bool read_only,
		       const struct export_client *clients, size_t count, bool certain)
{
	struct export_call *call = exporter->current;
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

void export_in_use(struct err *err, const char *name, const struct export_client *clients, size_t count, bool certain)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (size_t i = 0; i < count && i < 8; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", clients[i].address);
	if (count > 8)
		buf_printf(&text, " and %zu more", count - 8);
	if (count == 0)
		err_set(err, ERR_CONFLICT, "export %s is in use by a client that cannot be named", name);
	else if (certain || count == 1)
		err_set(err, ERR_CONFLICT, "export %s is in use by NBD client %s", name, text.data);
	else
		err_set(err, ERR_CONFLICT, "export %s is in use by some of the server's NBD clients: %s", name,
			text.data);
}

static void unavailable(const struct exporter *exporter, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "exports are not available: %s", exporter->reason);
}

static void on_checked(void *arg, uint64_t size, const struct err *result)
{
	struct export_call *call = arg;
	struct err err = *result;

	call->check = NULL;
	if (err.code == ERR_NONE && call->size != 0 && call->size != size)
		err_set(&err, ERR_CONFLICT, "export %s has %llu bytes and should have %llu", call->name,
			(unsigned long long)size, (unsigned long long)call->size);
	end_call(call, &err);
}

/* Not one of the engine's calls: it goes the way clients go, also while the engine is busy. */
static void start_check(struct export_call *call)
{
	struct exporter *exporter = call->exporter;

	TAILQ_REMOVE(&exporter->waiting, call, entry);
	TAILQ_INSERT_TAIL(&exporter->others, call, entry);
	call->stage = CALL_RUNNING;
	call->check = handshake_start(exporter->loop, &exporter->address, exporter->tls, call->name, on_checked, call);
	call->check_port = handshake_port(call->check);
	if (call->check_port > 0)
		clients_own_port(exporter->watch, call->check_port, true);
}

/* Ends what can't be, begins what needs no engine; returns the first call that does. */
static struct export_call *sift_waiting(struct exporter *exporter)
{
	struct export_call *call = TAILQ_FIRST(&exporter->waiting), *next, *first = NULL;
	struct err err;

	for (; call; call = next) {
		next = TAILQ_NEXT(call, entry);
		if (exporter->state == EXPORTER_DOWN) {
			unavailable(exporter, &err);
			end_call(call, &err);
		} else if (exporter->state == EXPORTER_UP && call->verb == EXPORT_CHECK) {
			start_check(call);
		} else if (!first) {
			first = call;
		}
	}
	return first;
}

static void on_pump_task(struct loop_task *task)
{
	struct exporter *exporter = container_of(task, struct exporter, pump_task);
	struct export_call *call = sift_waiting(exporter);

	if (!call || exporter->current || exporter->state != EXPORTER_UP || !exporter->ops->is_idle(exporter->engine))
		return;
	TAILQ_REMOVE(&exporter->waiting, call, entry);
	call->stage = CALL_RUNNING;
	exporter->current = call;
	exporter->ops->begin(exporter->engine, call);
}

void exporter_idle(struct exporter *exporter)
{
	loop_task_queue(exporter->loop, &exporter->pump_task);
}

static void on_lost_task(struct loop_task *task)
{
	const struct exporter *exporter = container_of(task, struct exporter, lost_task);

	if (exporter->options.lost)
		exporter->options.lost(exporter->options.arg);
}

void exporter_up(struct exporter *exporter, bool is_new)
{
	log_debug("export: %s is up%s", exporter->ops->program, is_new ? ", another one" : "");
	exporter->state = EXPORTER_UP;
	exporter->reason[0] = '\0';
	exporter->up_since_ms = clock_mono_ms();
	if (is_new)
		loop_task_queue(exporter->loop, &exporter->lost_task);
	if (is_new && exporter->was_up)
		exporter->restarts++;
	exporter->was_up = true;
	loop_task_queue(exporter->loop, &exporter->pump_task);
}

void exporter_explain(struct exporter *exporter, const char *reason)
{
	if (exporter->state == EXPORTER_DOWN)
		snprintf(exporter->reason, sizeof(exporter->reason), "%s", reason);
}

void exporter_down(struct exporter *exporter, const char *format, ...)
{
	struct err err;
	va_list args;

	va_start(args, format);
	vsnprintf(exporter->reason, sizeof(exporter->reason), format, args);
	va_end(args);
	log_debug("export: down: %s", exporter->reason);
	if (exporter->state == EXPORTER_UP && clock_mono_ms() - exporter->up_since_ms >= STEADY_MS)
		exporter->pause_ms = 0;
	exporter->pause_ms = exporter->pause_ms == 0 ? PAUSE_MIN_MS : exporter->pause_ms * 2;
	if (exporter->pause_ms > PAUSE_MAX_MS)
		exporter->pause_ms = PAUSE_MAX_MS;
	exporter->state = EXPORTER_DOWN;
	loop_task_cancel(exporter->loop, &exporter->lost_task);
	loop_timer_set(exporter->loop, &exporter->attempt_timer, exporter->pause_ms);
	if (exporter->current) {
		unavailable(exporter, &err);
		end_call(exporter->current, &err);
	}
	loop_task_queue(exporter->loop, &exporter->pump_task);
}

static void on_attempt_timer(struct loop_timer *timer)
{
	struct exporter *exporter = container_of(timer, struct exporter, attempt_timer);

	exporter->state = EXPORTER_STARTING;
	exporter->ops->attempt(exporter->engine);
}

/* ---- the verbs ---- */

static struct export_call *call_new(struct exporter *exporter, enum export_verb verb, const char *name, void *arg)
{
	struct export_call *call = xnew(struct export_call);

	call->exporter = exporter;
	call->verb = verb;
	call->name = xstrdup(name);
	call->arg = arg;
	call->since_ms = clock_mono_ms();
	call->deadline.fire = on_deadline;
	call->answer.run = on_answer;
	loop_timer_set(exporter->loop, &call->deadline, exporter->options.timeout_ms);
	TAILQ_INSERT_TAIL(&exporter->waiting, call, entry);
	loop_task_queue(exporter->loop, &exporter->pump_task);
	return call;
}

/* Such names need no quoting anywhere: not for a shell, not in a URI, not as a file. */
static int check_name(const char *name, struct err *err)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (str_empty(name) || strlen(name) > EXPORT_NAME_MAX || name[strspn(name, good)] || name[0] == '.' ||
	    name[0] == '-')
		return err_set_field(err, "name", ERR_INVALID,
				     "an export's name must be 1 to %d letters, digits, hyphens, dots and underscores",
				     EXPORT_NAME_MAX);
	return 0;
}

struct export_call *export_add(struct exporter *exporter, const struct export_item *item, export_done_fn done,
			       void *arg)
{
	struct export_call *call = call_new(exporter, EXPORT_ADD, item->name, arg);
	struct err err;

	call->device_path = xstrdup(item->device_path);
	call->read_only = item->read_only;
	call->done = done;
	if (check_name(item->name, &err) < 0)
		end_call(call, &err);
	return call;
}

struct export_call *export_remove(struct exporter *exporter, const char *name, bool force, export_done_fn done,
				  void *arg)
{
	struct export_call *call = call_new(exporter, EXPORT_REMOVE, name, arg);
	struct err err;

	call->force = force;
	call->done = done;
	if (check_name(name, &err) < 0)
		end_call(call, &err);
	return call;
}

struct export_call *export_list(struct exporter *exporter, export_listed_fn done, void *arg)
{
	struct export_call *call = call_new(exporter, EXPORT_LIST, NULL, arg);

	call->listed = done;
	return call;
}

struct export_call *export_check(struct exporter *exporter, const char *name, uint64_t size, export_done_fn done,
				 void *arg)
{
	struct export_call *call = call_new(exporter, EXPORT_CHECK, name, arg);
	struct err err;

	call->size = size;
	call->done = done;
	if (check_name(name, &err) < 0)
		end_call(call, &err);
	return call;
}

/* ---- how it is ---- */

int export_port(const struct exporter *exporter)
{
	return exporter->address.port;
}

void exporter_health(const struct exporter *exporter, struct export_health *out)
{
	const char *trouble = exporter->state == EXPORTER_UP ? exporter->ops->trouble(exporter->engine) : NULL;

	memset(out, 0, sizeof(*out));
	snprintf(out->engine, sizeof(out->engine), "%s", exporter->ops->program);
	out->pid = exporter->ops->pid(exporter->engine);
	out->restarts = exporter->restarts;
	out->ok = exporter->state == EXPORTER_UP && !trouble;
	if (exporter->state == EXPORTER_STARTING)
		snprintf(out->reason, sizeof(out->reason), "%s is being started", exporter->ops->program);
	else
		snprintf(out->reason, sizeof(out->reason), "%s", trouble ? trouble : exporter->reason);
}

/* ---- its life ---- */

static const struct export_engine_ops *find_ops(enum export_engine engine, struct err *err)
{
	switch (engine) {
	case EXPORT_ENGINE_QEMU:
		return &export_qemu_ops;
	case EXPORT_ENGINE_NBDKIT:
		return &export_nbdkit_ops;
	case EXPORT_ENGINE_NBD_SERVER:
		err_set(err, ERR_INVALID,
			"nbd-server can't be used for exports: a reload corrupts its memory before version 3.25, and "
			"it keeps exports that were removed; choose qemu-storage-daemon or nbdkit");
		return NULL;
	case EXPORT_ENGINE_NONE:
	case EXPORT_ENGINE_COUNT:
		break;
	}
	err_set(err, ERR_INVALID, "exports are turned off");
	return NULL;
}

static int make_run_dir(const char *path, struct err *err)
{
	if (str_empty(path) || path[0] != '/')
		return err_set(err, ERR_INVALID, "the folder for the NBD server's files must be an absolute path");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_INVALID, "the folder for the NBD server's files can't be made: %s: %s", path,
			       strerror(errno));
	return 0;
}

static void copy_options(struct exporter *exporter, const struct exporter_options *options)
{
	exporter->options = *options;
	exporter->options.run_dir = xstrdup(options->run_dir);
	exporter->options.qmp_socket = xstrdup(options->qmp_socket);
	exporter->options.listen = xstrdup(options->listen);
	exporter->options.tls_dir = xstrdup(options->tls_dir);
	exporter->options.proc_root = xstrdup(options->proc_root);
	exporter->options.sysfs_root = xstrdup(options->sysfs_root);
}

static void free_options(struct exporter_options *options)
{
	free((char *)(uintptr_t)options->run_dir);
	free((char *)(uintptr_t)options->qmp_socket);
	free((char *)(uintptr_t)options->listen);
	free((char *)(uintptr_t)options->tls_dir);
	free((char *)(uintptr_t)options->proc_root);
	free((char *)(uintptr_t)options->sysfs_root);
}

/* Who can connect can read and write every volume. */
static int check_access(const struct exporter *exporter, struct err *err)
{
	const char *tls_dir = exporter->options.tls_dir;

	if (address_is_local(&exporter->address) || (tls_dir && tls_verifies_clients(tls_dir)))
		return 0;
	return err_set(err, ERR_INVALID,
		       "%s can be reached from other machines, which needs TLS with certificates of clients: a folder "
		       "that holds client-cert.pem, too; else listen on 127.0.0.1, [::1] or unix:",
		       exporter->options.listen);
}

static int open_parts(struct exporter *exporter, struct err *err)
{
	const struct exporter_options *options = &exporter->options;

	exporter->ops = find_ops(options->engine, err);
	if (!exporter->ops || address_parse(options->listen, &exporter->address, err) < 0 ||
	    check_access(exporter, err) < 0 || make_run_dir(options->run_dir, err) < 0)
		return -1;
	if (options->tls_dir) {
		exporter->tls = tls_open(options->tls_dir, err);
		if (!exporter->tls)
			return -1;
	}
	exporter->engine = exporter->ops->open(exporter, err);
	return exporter->engine ? 0 : -1;
}

struct exporter *exporter_new(struct loop *loop, const struct exporter_options *options, struct err *err)
{
	struct exporter *exporter = xnew(struct exporter);

	assert(options->listen && options->proc_root && options->sysfs_root && options->timeout_ms > 0);
	exporter->loop = loop;
	copy_options(exporter, options);
	TAILQ_INIT(&exporter->waiting);
	TAILQ_INIT(&exporter->others);
	exporter->attempt_timer.fire = on_attempt_timer;
	exporter->lost_task.run = on_lost_task;
	exporter->pump_task.run = on_pump_task;
	if (open_parts(exporter, err) < 0)
		return exporter_free(exporter);
	exporter->watch = clients_new(loop, options->proc_root);
	exporter->prober = prober_new(loop, options->timeout_ms);
	loop_timer_set(loop, &exporter->attempt_timer, 0);
	return exporter;
}

struct exporter *exporter_free(struct exporter *exporter)
{
	struct export_call *call;

	if (!exporter)
		return NULL;
	if (exporter->current)
		export_cancel(exporter->current);
	while ((call = TAILQ_FIRST(&exporter->waiting)) || (call = TAILQ_FIRST(&exporter->others)))
		export_cancel(call);
	if (exporter->engine)
		exporter->ops->close(exporter->engine);
	loop_timer_clear(exporter->loop, &exporter->attempt_timer);
	loop_task_cancel(exporter->loop, &exporter->lost_task);
	loop_task_cancel(exporter->loop, &exporter->pump_task);
	prober_free(exporter->prober);
	clients_free(exporter->watch);
	tls_close(exporter->tls);
	free_options(&exporter->options);
	free(exporter);
	return NULL;
}
