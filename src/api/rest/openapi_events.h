/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The stream of events in the OpenAPI document. Private to api/rest/. */

#include "base/json.h"

void openapi_put_event_arguments(struct json_writer *w);
/* The schema of the answer, a text whose data lines are JSON, and an example of it. */
void openapi_put_event_stream(struct json_writer *w);
/* The schemas of the data of each kind of event. */
void openapi_put_event_schemas(struct json_writer *w);
