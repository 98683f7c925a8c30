/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of a world; see sim.h. What the daemon's code would ask of the machine - fresh ids, the
 * boot id, the time of the next timer - is taken from the world by the linker's --wrap, so that a
 * seed says everything.
 */

#include <stdarg.h>

#include "base/log.h"
#include "base/uuid.h"
#include "sim.h"

struct sim *sim_now;

/* ---- chance ---- */

/* splitmix64 */
uint64_t random_next(struct random *random)
{
	uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

int64_t random_between(struct random *random, int64_t low, int64_t high)
{
	return low + (int64_t)(random_next(random) % (uint64_t)(high - low + 1));
}

bool random_percent(struct random *random, unsigned percent)
{
	return random_next(random) % 100 < percent;
}

/* ---- what the machine is asked ---- */

void __wrap_uuid_make_v4(char out[UUID_TEXT_SIZE]);
void __wrap_uuid_make_v4(char out[UUID_TEXT_SIZE])
{
	snprintf(out, UUID_TEXT_SIZE, "%08llx-0000-4000-8000-000000000000",
		 (unsigned long long)++sim_now->uuids);
}

void __wrap_uuid_make_v7(char out[UUID_TEXT_SIZE]);
void __wrap_uuid_make_v7(char out[UUID_TEXT_SIZE])
{
	snprintf(out, UUID_TEXT_SIZE, "%08llx-0000-7000-8000-000000000000",
		 (unsigned long long)++sim_now->uuids);
}

/* The core reads one file: the boot id. */
char *__wrap_read_file_at(int dirfd, const char *path, size_t max, size_t *out_length);
char *__wrap_read_file_at(int dirfd, const char *path, size_t max, size_t *out_length)
{
	return xasprintf("00000000-0000-4000-8000-%012u\n", sim_now->kernel.boots);
}

/* When timers are due, lowest first; one that was moved since only means a turn in which nothing
 * happens. */
static struct {
	int64_t *due;
	size_t count, room;
} dues;

static void dues_add(int64_t due_ms)
{
	size_t place = dues.count;

	if (dues.count == dues.room) {
		dues.room = dues.room ? 2 * dues.room : 256;
		dues.due = xrealloc(dues.due, dues.room * sizeof(*dues.due));
	}
	dues.count++;
	for (; place > 0 && dues.due[(place - 1) / 2] > due_ms; place = (place - 1) / 2)
		dues.due[place] = dues.due[(place - 1) / 2];
	dues.due[place] = due_ms;
}

static void dues_drop_first(void)
{
	int64_t last = dues.due[--dues.count];
	size_t place = 0;

	for (size_t child; (child = 2 * place + 1) < dues.count; place = child) {
		if (child + 1 < dues.count && dues.due[child + 1] < dues.due[child])
			child++;
		if (dues.due[child] >= last)
			break;
		dues.due[place] = dues.due[child];
	}
	dues.due[place] = last;
}

void __real_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void __wrap_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void __wrap_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
	__real_loop_timer_set(loop, timer, delay_ms);
	dues_add(timer->due_ms);
}

void __real_loop_deadline_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void __wrap_loop_deadline_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void __wrap_loop_deadline_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
	__real_loop_deadline_set(loop, timer, delay_ms);
	dues_add(timer->due_ms); /* with a clock turned by hand no time is missed */
}

/* ---- telling ---- */

void sim_say(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (sim->tracing) {
		va_start(args, format);
		trace_format(sim, format, args);
		va_end(args);
	}
	if (!sim->verbose)
		return;
	printf("%10.3f  ", (double)clock_mono_ms() / 1000);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (sim->failure[0])
		return;
	va_start(args, format);
	vsnprintf(sim->failure, sizeof(sim->failure), format, args);
	va_end(args);
	sim_say(sim, "FAILED: %s", sim->failure);
}

struct fake_volume *sim_volume(struct sim *sim, const char *id)
{
	struct fake_volume *volume;

	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		if (streq(volume->id, id))
			return volume;
	}
	return NULL;
}

size_t sim_number(const struct fake_volume *volume)
{
	size_t number = strtoul(volume->id, NULL, 16);

	return number < VOLUMES_MAX ? number : VOLUMES_MAX;
}

/* ---- time ---- */

static void settle(struct sim *sim)
{
	uint64_t generation = sim->kernel.generation;
	unsigned turns = 0;

	while (!sim->failure[0] && loop_turn(sim->loop)) {
		check_shown(sim);
		if (turns++ > 10000)
			sim_fail(sim, "something spins");
	}
	if (generation != sim->kernel.generation)
		check_shown(sim);
	naive_look(sim);
	if (sim->core && store_memory_has_crashed(sim->store)) {
		sim_say(sim, "the daemon crashes at a commit");
		sim_kill(sim);
	}
}

void sim_pass(struct sim *sim, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;

	check_shown(sim);
	settle(sim);
	while (!sim->failure[0]) {
		while (dues.count > 0 && dues.due[0] <= clock_mono_ms())
			dues_drop_first();
		if (dues.count == 0 || dues.due[0] > until)
			break;
		clock_test_advance(dues.due[0] - clock_mono_ms());
		settle(sim);
	}
	if (clock_mono_ms() < until)
		clock_test_advance(until - clock_mono_ms());
}

/* ---- life ---- */

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	check_event(container_of(listener, struct sim, listener), event);
}

void sim_open(struct sim *sim)
{
	struct err err = { 0 };

	sim_say(sim, "the daemon starts");
	memset(sim->shown_path, 0, sizeof(sim->shown_path));
	sim->cloud = server_connect(&sim->server);
	sim->core = core_new(sim->loop, &sim->options, sim->store, sim->cloud, &err);
	if (sim->core)
		core_listen(sim->core, &sim->listener);
	else
		sim_fail(sim, "the daemon does not start: %s", err.text);
}

void sim_kill(struct sim *sim)
{
	if (!sim->core)
		return;
	for (size_t i = 0; i < sim->ask_count; i++) {
		sim->asks[i].forgotten = sim->asks[i].forgotten || sim->asks[i].call;
		sim->asks[i].call = NULL;
	}
	core_unlisten(sim->core, &sim->listener);
	sim->core = core_free(sim->core);
	sim->cloud = cloud_free(sim->cloud);
	sim->store = store_memory_reopen(sim->store);
	/* The next one could not start without it. */
	store_memory_set_away(sim->store, NULL);
	sim->store_away = false;
}

static void choose_appliance(struct sim *sim)
{
	struct random *chance = &sim->chance;
	bool nameless = random_percent(chance, 20);

	sim_kernel_init(&sim->kernel, sim);
	sim->kernel.in_order = random_percent(chance, 60);
	sim->kernel.lost_percent =
		random_percent(chance, 50) ? (unsigned)random_between(chance, 0, 100) : 0;
	server_init(&sim->server, sim->loop, &sim->kernel.face);
	sim->server.serial = nameless ? SERIAL_NONE : SERIAL_OWN;
	sim->server.trip_ms = random_between(chance, 5, 300);
	sim->server.job_ms = random_between(chance, 50, 8000);
	sim->server.is_4_18 = random_percent(chance, 50);
	sim->server.late_ms = random_between(chance, 1000, 60000);
	sim->server.storage_unit = random_percent(chance, 20) ? 4 * GIB : 0;
	kernel_plug(&sim->kernel.face, "vda", nameless ? NULL : "99999999999999999999", 20 * GIB);
	sim->options = (struct core_options){
		.appliance_id = APPLIANCE,
		.sysfs_root = "/sys",
		.dev_root = "/dev",
		.proc_root = "/proc",
		.buses = 1u << BUS_VIRTIO,
		.scan_ms = random_percent(chance, 30) ? random_between(chance, 3000, 30000) : 2000,
		.device_wait_ms = DEVICE_WAIT_MS,
		.cloud_wait_ms = 600000,
		.probe_ms = 60000,
		.reconcile_ms = 20000,
		.max_operations = 300,
	};
}

void sim_start(struct sim *sim, uint64_t seed, bool verbose, bool tracing)
{
	*sim = (struct sim){
		.seed = seed, .verbose = verbose, .tracing = tracing, .chance.state = seed
	};
	trace_start(sim);
	sim_now = sim;
	dues.count = 0;
	clock_test_start(1000000, 1790000000000);
	sim->loop = loop_new();
	sim->store = store_memory_new(sim->loop);
	sim->listener.on_event = on_event;
	choose_appliance(sim);
	sim_open(sim);
}

void sim_stop(struct sim *sim)
{
	naive_stop(sim);
	sim_kill(sim);
	store_close(sim->store);
	server_fini(&sim->server);
	loop_free(sim->loop);
	sim_now = NULL;
}
