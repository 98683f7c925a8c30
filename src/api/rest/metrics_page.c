/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Core writes most of the page; the server and the process add theirs. */

#include "api/rest/metrics_page.h"

#include "api/rest/process_figures.h"
#include "base/clock.h"
#include "base/metric.h"

static void put_kind(struct buf *out, const char *kind, size_t count)
{
	metric_value(out, "volumed_http_requests_in_flight", METRIC_LABELS({ "kind", kind }),
		     (double)count);
}

static void put_server(const struct rest_figures *figures, struct buf *out)
{
	metric_family(out, "volumed_http_requests_in_flight", METRIC_GAUGE,
		      "Requests over REST that wait for their answer.");
	put_kind(out, "plain", figures->requests);
	put_kind(out, "list", figures->lists);
	put_kind(out, "wait", figures->long_polls);
	metric_family(out, "volumed_sse_clients", METRIC_GAUGE, "Clients that listen to events.");
	metric_value(out, "volumed_sse_clients", NULL, (double)figures->streams);
}

const struct buf *metrics_page_get(struct metrics_page *page, struct core *core,
				   const struct rest_figures *figures)
{
	int64_t now = clock_mono_ms();

	if (page->text.length > 0 && now - page->made_ms < METRICS_SERVES_MS)
		return &page->text;
	buf_reset(&page->text);
	page->made_ms = now;
	core_put_metrics(core, &page->text);
	put_server(figures, &page->text);
	process_put_metrics(&page->text);
	return &page->text;
}
