/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Figures for monitoring: histograms, and the text in which Prometheus reads them (exposition
 * format 0.0.4). Each family has its name, type and help once, and then all its samples. Names end
 * in the unit, and those of counters in "_total".
 */

#include "base/buf.h"

/* The upper bounds of buckets, rising; a bucket above all of them comes by itself. */
#define HISTOGRAM_BOUNDS_MAX 14
struct histogram_scale {
	double bounds[HISTOGRAM_BOUNDS_MAX];
	size_t count;
};

struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1];
	double sum;
};
void histogram_observe(struct histogram *histogram, const struct histogram_scale *scale,
		       double value);

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
void metric_family(struct buf *out, const char *name, enum metric_type type, const char *help);

/* NULL: one without labels. */
struct metric_label {
	const char *name; /* NULL ends the list */
	const char *value;
};
#define METRIC_LABELS(...)                                                                         \
	(const struct metric_label[])                                                              \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}
void metric_value(struct buf *out, const char *name, const struct metric_label *labels,
		  double value);
void metric_histogram(struct buf *out, const char *name, const struct metric_label *labels,
		      const struct histogram *histogram, const struct histogram_scale *scale);
