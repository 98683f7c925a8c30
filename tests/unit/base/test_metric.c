/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text for Prometheus, letter by letter. */

#include "unit.h"

#include "base/metric.h"

static void test_values(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	metric_family(&out, "a_total", METRIC_COUNTER, "Number of a.");
	metric_value(&out, "a_total", METRIC_LABELS({ "kind", "x" }, { "end", "y" }), 3);
	metric_value(&out, "a_total", METRIC_LABELS({ "kind", "a \"b\" \\ c\nd" }), 0);
	metric_family(&out, "b", METRIC_GAUGE, "State of b.");
	metric_value(&out, "b", NULL, 0.1);
	assert_string_equal(out.data, "# HELP a_total Number of a.\n"
				      "# TYPE a_total counter\n"
				      "a_total{kind=\"x\",end=\"y\"} 3\n"
				      "a_total{kind=\"a \\\"b\\\" \\\\ c\\nd\"} 0\n"
				      "# HELP b State of b.\n"
				      "# TYPE b gauge\n"
				      "b 0.1\n");
}

static void test_numbers_are_exact(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0, "x 0\n" },
		{ -2, "x -2\n" },
		{ 68719476736, "x 68719476736\n" },
		{ 0.0005, "x 0.0005\n" },
		{ 1.0 / 3, "x 0.3333333333333333\n" },
		{ 1e300, "x 1e+300\n" },
		{ 1796030221.25, "x 1796030221.25\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf out = BUF_NULL;

		metric_value(&out, "x", NULL, rows[i].value);
		assert_string_equal(out.data, rows[i].text);
	}
}

static void test_a_histogram_adds_up(void **state)
{
	static const struct histogram_scale scale = { .bounds = { 0.5, 1, 2.5 }, .count = 3 };
	static const double seen[] = { 0.25, 0.5, 0.75, 2.5, 3, 400 };
	_cleanup_buf_ struct buf out = BUF_NULL;
	struct histogram histogram = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		histogram_observe(&histogram, &scale, seen[i]);
	metric_histogram(&out, "x_seconds", METRIC_LABELS({ "a", "b" }), &histogram, &scale);
	metric_histogram(&out, "x_seconds", NULL, &(struct histogram){ 0 }, &scale);
	/* a bound belongs to its bucket */
	assert_string_equal(out.data, "x_seconds_bucket{a=\"b\",le=\"0.5\"} 2\n"
				      "x_seconds_bucket{a=\"b\",le=\"1\"} 3\n"
				      "x_seconds_bucket{a=\"b\",le=\"2.5\"} 4\n"
				      "x_seconds_bucket{a=\"b\",le=\"+Inf\"} 6\n"
				      "x_seconds_sum{a=\"b\"} 407\n"
				      "x_seconds_count{a=\"b\"} 6\n"
				      "x_seconds_bucket{le=\"0.5\"} 0\n"
				      "x_seconds_bucket{le=\"1\"} 0\n"
				      "x_seconds_bucket{le=\"2.5\"} 0\n"
				      "x_seconds_bucket{le=\"+Inf\"} 0\n"
				      "x_seconds_sum 0\n"
				      "x_seconds_count 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_numbers_are_exact),
		cmocka_unit_test(test_a_histogram_adds_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
