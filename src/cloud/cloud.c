/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack as a whole: a queue of calls, which the commands (cloud_command.c) fill, and the
 * watched jobs, which are queried by such commands too.
 */

#include "cloud/cloud.h"

#include <assert.h>

#include "cloud/cloud_command.h"
#include "cloud/cloud_job.h"
#include "cloud/cloud_queue.h"

int cloud_check_url(const char *url, struct err *err)
{
	/* The URL is never quoted: a key or password put there by mistake must not reach a log. */
	if (str_empty(url) || !(str_has_prefix(url, "http://") || str_has_prefix(url, "https://")))
		return err_set(err, ERR_INVALID,
			       "CloudStack's address must begin with http:// or https://, such as "
			       "http://10.1.1.1:8080/client/api");
	if (strpbrk(url, "?#@ ") || !str_is_plain_text(url))
		return err_set(
			err, ERR_INVALID,
			"CloudStack's address must be host, port and path only, such as "
			"http://10.1.1.1:8080/client/api, without user name, query or blanks");
	return 0;
}

static int check_access(const char *url, const struct secret *api_key,
			const struct secret *secret_key, struct err *err)
{
	if (cloud_check_url(url, err) < 0)
		return -1;
	if (!api_key || secret_length(api_key) == 0)
		return err_set(err, ERR_INVALID, "CloudStack's API key is missing");
	if (!secret_key || secret_length(secret_key) == 0)
		return err_set(err, ERR_INVALID, "CloudStack's secret key is missing");
	return 0;
}

/* An address without a path is that of the server; the API has this path on every server. */
static char *api_url(const char *url)
{
	const char *host = strstr(url, "://") + strlen("://");
	const char *path = strchr(host, '/');

	if (path && path[1])
		return xstrdup(url);
	return xasprintf("%.*s/client/api", path ? (int)(path - url) : (int)strlen(url), url);
}

static void learn_page_sizes_anew(struct cloud *cloud)
{
	cloud_page_size_init(&cloud->volume_pages);
	cloud_page_size_init(&cloud->job_pages);
	cloud_page_size_init(&cloud->vm_pages);
	cloud_page_size_init(&cloud->catalog_pages);
	cloud_page_size_init(&cloud->snapshot_pages);
}

int cloud_set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		     const struct secret *secret_key, struct err *err)
{
	_cleanup_free_ char *whole = NULL;

	if (check_access(url, api_key, secret_key, err) < 0)
		return -1;
	whole = api_url(url);
	cloud_queue_set_access(cloud->queue, whole, api_key, secret_key);
	cloud_jobs_allow(cloud->jobs);
	learn_page_sizes_anew(cloud);
	return 0;
}

void cloud_set_pace(struct cloud *cloud, const struct cloud_options *options)
{
	assert(options->timeout_ms > 0 && options->max_parallel > 0);
	assert(options->poll_min_ms > 0 && options->poll_max_ms >= options->poll_min_ms);

	cloud_queue_set_pace(cloud->queue, options);
	cloud_jobs_set_pace(cloud->jobs, options);
}

int64_t cloud_late_until_ms(struct cloud *cloud, int64_t asked_ms)
{
	return cloud_queue_late_until_ms(cloud->queue, asked_ms);
}

void cloud_health(const struct cloud *cloud, struct cloud_health *out)
{
	cloud_queue_health(cloud->queue, out);
}

static void put_state(const struct cloud_health *health, struct buf *out)
{
	metric_family(out, "volumed_cloudstack_usable", METRIC_GAUGE,
		      "1 if CloudStack answers and knows the keys.");
	metric_value(out, "volumed_cloudstack_usable", NULL, health->usable);
	metric_family(out, "volumed_cloudstack_maintenance", METRIC_GAUGE,
		      "1 if CloudStack takes no changes.");
	metric_value(out, "volumed_cloudstack_maintenance", NULL, health->in_maintenance);
	metric_family(out, "volumed_cloudstack_requests_in_flight", METRIC_GAUGE,
		      "Requests to CloudStack that are on the wire, or wait for their turn.");
	metric_value(out, "volumed_cloudstack_requests_in_flight", NULL, (double)health->in_flight);
	metric_family(out, "volumed_cloudstack_throttled_total", METRIC_COUNTER,
		      "Answers with which CloudStack asked for fewer requests.");
	metric_value(out, "volumed_cloudstack_throttled_total", NULL, (double)health->throttled);
	metric_family(
		out, "volumed_cloudstack_clock_offset_seconds", METRIC_GAUGE,
		"How far CloudStack's clock is ahead of the clock here; 0 if that is not known.");
	metric_value(out, "volumed_cloudstack_clock_offset_seconds", NULL,
		     (double)health->skew_ms / 1000);
}

void cloud_each_read(const struct cloud *cloud, cloud_read_health_fn fn, void *arg)
{
	cloud_figures_each_read(cloud_queue_figures(cloud->queue), fn, arg);
}

void cloud_put_metrics(const struct cloud *cloud, struct buf *out)
{
	struct cloud_health health;

	cloud_health(cloud, &health);
	put_state(&health, out);
	cloud_figures_put(cloud_queue_figures(cloud->queue), out);
}

bool cloud_in_maintenance(const struct cloud *cloud)
{
	return cloud_queue_in_maintenance(cloud->queue);
}

struct cloud *cloud_new(struct loop *loop, const struct cloud_options *options, struct err *err)
{
	_cleanup_free_ char *url = NULL;
	struct cloud_options whole;
	struct cloud_queue *queue;
	struct cloud *cloud;

	assert(loop && options);
	assert(options->timeout_ms > 0 && options->max_parallel > 0);
	assert(options->poll_min_ms > 0 && options->poll_max_ms >= options->poll_min_ms);

	if (check_access(options->url, options->api_key, options->secret_key, err) < 0)
		return NULL;
	url = api_url(options->url);
	whole = *options;
	whole.url = url;
	queue = cloud_queue_new(loop, &whole, err);
	if (!queue)
		return NULL;
	cloud = xnew(struct cloud);
	cloud->queue = queue;
	cloud->jobs = cloud_jobs_new(loop, cloud, options);
	learn_page_sizes_anew(cloud);
	return cloud;
}

struct cloud *cloud_free(struct cloud *cloud)
{
	if (!cloud)
		return NULL;
	cloud_jobs_free(cloud->jobs);
	cloud_queue_free(cloud->queue);
	free(cloud);
	return NULL;
}
