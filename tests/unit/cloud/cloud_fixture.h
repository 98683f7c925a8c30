/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A cloud, its loop and a server to talk to; time stands still until a test turns the clock. */

#include "cloud/cloud.h"
#include "web_server.h"

#define FIXTURE_API_KEY "vmd-Test_ApiKey-0123456789"
#define FIXTURE_SECRET_KEY "vmd-Test_Secret-9876543210"
#define FIXTURE_WALL_MS INT64_C(1893553445000) /* 2030-01-02T03:04:05Z */
#define FIXTURE_TIMEOUT_MS 20000
#define FIXTURE_POLL_MIN_MS 1000
#define FIXTURE_POLL_MAX_MS 4000
#define FIXTURE_PARALLEL 2

#define JOB_ID "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define OTHER_JOB_ID "1dfe67ed-1632-49bf-bbaf-16cbdc48bfd8"
#define VOLUME_ID "774fd83e-147a-4cc1-a8cc-7aeb50247a3b"
#define VM_ID "a0e403db-0342-45f1-b9e0-8ff94cc1652f"
#define PROJECT_ID "5d3f3b1c-8f5e-4f0e-9a38-1c2f7d0c6b11"

#define ACCEPTED "{\"x\":{\"jobid\":\"" JOB_ID "\"}}"
#define NO_VOLUMES "{\"listvolumesresponse\":{}}"
#define PENDING "{\"x\":{\"jobstatus\":0}}"
#define SUCCEEDED                                                                                  \
	"{\"x\":{\"jobstatus\":1,\"jobresult\":{\"volume\":{\"id\":\"" VOLUME_ID                   \
	"\",\"deviceid\":4,"                                                                       \
	"\"virtualmachineid\":\"" VM_ID "\"}}}}"
/* Answers to a look at a job. */
#define JOB_PENDING                                                                                \
	{                                                                                          \
		.status = 200, .body = PENDING                                                     \
	}
#define JOB_SUCCEEDED                                                                              \
	{                                                                                          \
		.status = 200, .body = SUCCEEDED                                                   \
	}
/* How CloudStack refuses pages that are longer than NUMBER (a text) rows. */
#define PAGES_OF(NUMBER)                                                                           \
	{                                                                                          \
		.status = 431,                                                                     \
		.body = "{\"x\":{\"uuidList\":[],\"errorcode\":431,\"errortext\":"                 \
			"\"Page size can't exceed max allowed page size value: " NUMBER "\"}}"     \
	}
#define HTML_502                                                                                   \
	{                                                                                          \
		.status = 502, .type = "text/html", .body = "<html>Bad Gateway</html>"             \
	}

struct fixture {
	struct loop *loop;
	struct web_server server;
	struct secret *api_key, *secret_key;
	struct cloud *cloud;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The cloud begins anew with this cloud_options.project_id. */
void fixture_use_project(struct fixture *fixture, const char *project_id);

/* What a done callback was given, copied. */
struct seen {
	size_t runs;
	enum cloud_outcome outcome;
	struct err err;
	char job_id[64], entity_id[64], first_id[64];
	enum cloud_job_status job_status;
	int64_t device_id;
	size_t count, rows;
};
void on_done(void *arg, const struct cloud_result *result);

#define SCRIPT(FIXTURE, ...)                                                                       \
	do {                                                                                       \
		static const struct web_row rows_[] = { __VA_ARGS__ };                             \
		web_server_script(&(FIXTURE)->server, rows_, ARRAY_SIZE(rows_));                   \
	} while (0)

/* Turns the loop until *count has reached the number; fails the test when that does not come
 * about. */
void run_until(struct fixture *fixture, const size_t *count, size_t number);
/* Turns the loop until nothing can be expected to happen any more without the clock. */
void run_idle(struct fixture *fixture);
/* Fails when a key or a signature is in the text. */
void assert_no_secret(const char *text);
