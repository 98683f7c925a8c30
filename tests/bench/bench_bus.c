/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Both ends of the bench of D-Bus. "serve" is what sd-bus itself can do: a service that answers
 * every call of one method with the same text, and of the other with the same dictionary, and
 * nothing around it. "call" calls a method that takes one text,
 * with so many calls in flight, and prints how many were answered a second and how long half of
 * them, and all but a hundredth, took at the most. The bus is that of DBUS_SYSTEM_BUS_ADDRESS.
 */

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "base/util.h"

#define BARE_NAME "org.migratekit.Bench"
#define IN_FLIGHT_MAX 256
#define SAMPLES_MAX 4000000

static _Noreturn void fail(const char *what, int r)
{
	fprintf(stderr, "bench_bus: %s: %s\n", what, strerror(-r));
	exit(1);
}

static int checked(const char *what, int r)
{
	if (r < 0)
		fail(what, r);
	return r;
}

static sd_bus *connect_to_bus(void)
{
	sd_bus *bus;

	checked("connect", sd_bus_open_system(&bus));
	return bus;
}

/* ---- the service ---- */

/* Of a dictionary: a key, and the type and text of a value. */
struct entry {
	char *key, *type, *text;
};

static struct {
	char *text;
	struct entry *entries;
	size_t count;
} answers;

static int on_echo(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "s", answers.text);
}

static int append_entry(sd_bus_message *reply, const struct entry *entry)
{
	switch (*entry->type) {
	case 's':
		return sd_bus_message_append(reply, "{sv}", entry->key, "s", entry->text);
	case 'x':
	case 't':
		return sd_bus_message_append(reply, "{sv}", entry->key, entry->type,
					     strtoll(entry->text, NULL, 10));
	case 'b':
		return sd_bus_message_append(reply, "{sv}", entry->key, "b",
					     streq(entry->text, "True"));
	default:
		return -EINVAL;
	}
}

static int on_list(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(m, &reply);

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
	for (size_t i = 0; i < answers.count && r >= 0; i++)
		r = append_entry(reply, &answers.entries[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Echo", "s", "s", on_echo, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("List", "s", "a{sv}", on_list, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static _Noreturn void serve(uint64_t length, char **words, size_t count)
{
	sd_bus *bus = connect_to_bus();

	answers.text = xcalloc(length + 1, 1);
	memset(answers.text, 'x', length);
	answers.count = count / 3;
	answers.entries = xcalloc(answers.count + 1, sizeof(*answers.entries));
	for (size_t i = 0; i < answers.count; i++)
		answers.entries[i] =
			(struct entry){ words[3 * i], words[3 * i + 1], words[3 * i + 2] };
	checked("add", sd_bus_add_object_vtable(bus, NULL, "/", BARE_NAME, vtable, NULL));
	checked("take the name", sd_bus_request_name(bus, BARE_NAME, 0));
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		if (checked("process", sd_bus_process(bus, NULL)) == 0)
			checked("wait", sd_bus_wait(bus, UINT64_MAX));
	}
}

/* ---- the caller ---- */

static struct {
	sd_bus *bus;
	char *const *call; /* name, path, interface, member, argument */
	uint64_t end;
	uint64_t *samples;
	size_t answered, in_flight;
} caller;

struct slot {
	uint64_t begun;
};

static uint64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void call(struct slot *slot);

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct slot *slot = userdata;
	uint64_t now = now_us();

	if (sd_bus_message_is_method_error(m, NULL)) {
		fprintf(stderr, "bench_bus: %s\n", sd_bus_message_get_error(m)->message);
		exit(1);
	}
	if (caller.answered < SAMPLES_MAX)
		caller.samples[caller.answered++] = now - slot->begun;
	caller.in_flight--;
	if (now < caller.end)
		call(slot);
	return 0;
}

static void call(struct slot *slot)
{
	slot->begun = now_us();
	checked("call", sd_bus_call_method_async(caller.bus, NULL, caller.call[0], caller.call[1],
						 caller.call[2], caller.call[3], on_answer, slot,
						 "s", caller.call[4]));
	caller.in_flight++;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static int measure(char *const *words, uint64_t in_flight, uint64_t seconds)
{
	struct slot slots[IN_FLIGHT_MAX];
	uint64_t begin, taken;

	caller.bus = connect_to_bus();
	caller.call = words;
	caller.samples = xcalloc(SAMPLES_MAX, sizeof(*caller.samples));
	begin = now_us();
	caller.end = begin + seconds * 1000000;
	for (uint64_t i = 0; i < in_flight; i++)
		call(&slots[i]);
	while (caller.in_flight > 0) {
		if (checked("process", sd_bus_process(caller.bus, NULL)) == 0)
			checked("wait", sd_bus_wait(caller.bus, UINT64_MAX));
	}
	taken = now_us() - begin;
	qsort(caller.samples, caller.answered, sizeof(*caller.samples), compare);
	printf("%.1f a second, p50 %llu us, p99 %llu us\n",
	       (double)caller.answered * 1e6 / (double)taken,
	       (unsigned long long)caller.samples[caller.answered / 2],
	       (unsigned long long)caller.samples[caller.answered * 99 / 100]);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t number, seconds;

	if (argc >= 3 && argc % 3 == 0 && streq(argv[1], "serve") &&
	    parse_u64(argv[2], &number) == 0 && number < 1024 * 1024)
		serve(number, argv + 3, (size_t)argc - 3);
	if (argc == 9 && streq(argv[1], "call") && parse_u64(argv[2], &number) == 0 && number > 0 &&
	    number <= IN_FLIGHT_MAX && parse_u64(argv[3], &seconds) == 0 && seconds < 3600)
		return measure(argv + 4, number, seconds);
	fprintf(stderr,
		"usage: bench_bus serve LENGTH-OF-TEXT [KEY TYPE VALUE]...\n"
		"       bench_bus call IN-FLIGHT SECONDS NAME PATH INTERFACE MEMBER TEXT\n");
	return 2;
}
