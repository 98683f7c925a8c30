/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The truth test: does the daemon ever name a wrong device?
 *
 * test_truth [--base SEED] [--schedules N]   so many, of the seeds from this one on: error rates
 * test_truth [--base SEED] --seconds N       likewise, for so long
 * test_truth --seed SEED                     exactly one of them, with a log of all that happens
 * test_truth --trace ...                     besides, one number a seed for all that happened
 *                                            (trace.c)
 *
 * All chance comes from the seeds, so the same command plays the same schedules; a search gives
 * seeds that nobody has tried.
 *
 * A schedule is a random life of an appliance (schedule.c) in a world of which everything is known
 * (sim.c, kernel.c, and the CloudStack in memory of tests/support/c), around the daemon's own
 * engine, matcher, model and memory store. After every event whatever the daemon shows is compared
 * with the truth (check.c). Two naive rules see the same attachments (naive.c): should they make no
 * mistakes, the schedules prove nothing and the test fails as well.
 *
 * One thing is left out because nobody can decide it: where no disk has a serial, a stranger's disk
 * of exactly the volume's size that is plugged during the attachment, unknown to CloudStack, while
 * the volume's own stays away.
 */

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <time.h>

#include "base/log.h"
#include "sim.h"

static bool tracing;

static bool run(uint64_t seed, bool verbose)
{
	static struct sim sim;

	sim_start(&sim, seed, verbose, tracing);
	schedule_run(&sim);
	if (tracing)
		printf("trace %" PRIu64 " %016" PRIx64 "\n", seed, sim.trace);
	scores[RULE_OURS].wrong += sim.wrong ? 1 : 0;
	if (sim.failure[0])
		printf("seed %" PRIu64 ": %s\n", seed, sim.failure);
	sim_stop(&sim);
	return !sim.failure[0];
}

static double per_cent(unsigned long part, unsigned long whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/*
 * Refused: more than one disk could be it, and the attachment is taken back. None: nothing is
 * named, because no disk came or, for the daemon, which asks CloudStack first, because that said
 * no.
 */
static void print_table(void)
{
	static const char *const names[RULE_COUNT] = { "volume-daemon", "first new device",
						       "same size within 10 %" };

	printf("\n%-24s %9s %9s %9s %9s %9s %11s\n", "rule", "attaches", "right", "wrong",
	       "refused", "none", "error rate");
	for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
		const struct score *score = &scores[rule];

		printf("%-24s %9lu %9lu %9lu %9lu %9lu %10.3f%%\n", names[rule], score->asked,
		       score->right, score->wrong, score->ambiguous, score->none,
		       per_cent(score->wrong, score->asked));
	}
}

/* Not the daemon's clock, which stands still between two moments of a schedule. */
static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec;
}

static int run_many(uint64_t base, unsigned long schedules, unsigned long seconds)
{
	unsigned long failed = 0, played = 0;
	uint64_t begun = now();

	printf("from seed %" PRIu64 " on\n", base);
	fflush(stdout);
	while (played < schedules && failed < 10 && now() - begun < seconds) {
		uint64_t seed = base + played++;

		if (run(seed, false))
			continue;
		if (failed++ == 0) {
			struct score kept[RULE_COUNT];

			memcpy(kept, scores, sizeof(kept));
			run(seed, true);
			memcpy(scores, kept, sizeof(kept));
		}
	}
	print_table();
	printf("\ndisks opened: %lu, refused: %lu; names that changed hands meanwhile: %lu\n",
	       open_score.given, open_score.refused, open_score.swaps);
	printf("%lu of %lu schedules failed\n", failed, played);
	for (enum rule rule = RULE_FIRST_NEW; rule < RULE_COUNT; rule++) {
		if (scores[rule].wrong == 0) {
			printf("a naive rule made no mistake: the schedules are too tame\n");
			failed++;
		}
	}
	if (open_score.swaps < played / 10 || open_score.given < played / 10) {
		printf("names hardly changed hands while disks were opened: the schedules are too tame\n");
		failed++;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static uint64_t number(const char *text)
{
	uint64_t value;

	if (parse_u64(text, &value) < 0) {
		fprintf(stderr, "test_truth: %s is no number\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "schedules", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 'l' },
		{ "base", required_argument, NULL, 'b' },
		{ "seed", required_argument, NULL, 's' },
		{ "trace", no_argument, NULL, 't' },
		{ 0 },
	};
	unsigned long schedules = 1000, seconds = ULONG_MAX;
	uint64_t base = 1, seed = 0;
	bool one = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'n')
			schedules = number(optarg);
		else if (option == 'l')
			schedules = ULONG_MAX, seconds = number(optarg);
		else if (option == 'b')
			base = number(optarg);
		else if (option == 's')
			seed = number(optarg);
		else if (option == 't')
			tracing = true;
		else
			return 2;
		one |= option == 's';
	}
	if (one) {
		log_set_level(LOG_LEVEL_DEBUG);
		setvbuf(stdout, NULL, _IOLBF, 0);
		return run(seed, true) ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	log_set_level(LOG_LEVEL_ERROR);
	return run_many(base, schedules, seconds);
}
