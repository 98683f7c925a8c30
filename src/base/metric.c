/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers are written with as many digits as they need: counts exactly, and bounds as they stand in
 * the source. */

#include "base/metric.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_SIZE 32

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

void histogram_observe(struct histogram *histogram, const struct histogram_scale *scale,
		       double value)
{
	size_t i = 0;

	while (i < scale->count && value > scale->bounds[i])
		i++;
	histogram->counts[i]++;
	histogram->sum += value;
}

void metric_family(struct buf *out, const char *name, enum metric_type type, const char *help)
{
	assert(!strpbrk(help, "\\\n"));
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type_names[type]);
}

/* The shortest text that reads back as the same number. */
static void format(double value, char out[NUMBER_SIZE])
{
	if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value) {
		snprintf(out, NUMBER_SIZE, "%lld", (long long)value);
		return;
	}
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(out, NUMBER_SIZE, "%.*g", digits, value);
		if (!(strtod(out, NULL) < value) && !(strtod(out, NULL) > value))
			return;
	}
}

static void put_label(struct buf *out, char before, const char *name, const char *value)
{
	buf_printf(out, "%c%s=\"", before, name);
	for (; *value; value++) {
		if (*value == '\n') {
			buf_add_text(out, "\\n");
			continue;
		}
		if (*value == '"' || *value == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *value);
	}
	buf_add_char(out, '"');
}

/* le: the upper bound of a bucket, or NULL. */
static void put_sample(struct buf *out, const char *name, const char *suffix,
		       const struct metric_label *labels, const char *le, double value)
{
	char before = '{', number[NUMBER_SIZE];

	buf_printf(out, "%s%s", name, suffix);
	for (; labels && labels->name; labels++) {
		put_label(out, before, labels->name, labels->value);
		before = ',';
	}
	if (le) {
		put_label(out, before, "le", le);
		before = ',';
	}
	if (before == ',')
		buf_add_char(out, '}');
	format(value, number);
	buf_printf(out, " %s\n", number);
}

void metric_value(struct buf *out, const char *name, const struct metric_label *labels,
		  double value)
{
	put_sample(out, name, "", labels, NULL, value);
}

void metric_histogram(struct buf *out, const char *name, const struct metric_label *labels,
		      const struct histogram *histogram, const struct histogram_scale *scale)
{
	uint64_t count = 0;

	for (size_t i = 0; i < scale->count; i++) {
		char bound[NUMBER_SIZE];

		count += histogram->counts[i];
		format(scale->bounds[i], bound);
		put_sample(out, name, "_bucket", labels, bound, (double)count);
	}
	count += histogram->counts[scale->count];
	put_sample(out, name, "_bucket", labels, "+Inf", (double)count);
	put_sample(out, name, "_sum", labels, NULL, histogram->sum);
	put_sample(out, name, "_count", labels, NULL, (double)count);
}
