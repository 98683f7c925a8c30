/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "web_server.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"

static void remember(struct web_server *server, struct evhttp_request *request)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	struct web_request *slot;
	const char *query;

	assert(server->asked < WEB_REQUESTS_MAX);
	slot = &server->requests[server->asked++];
	slot->post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
	snprintf(slot->path, sizeof(slot->path), "%s",
		 evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request)));
	evbuffer_add(body, "", 1);
	query = slot->post ? (const char *)evbuffer_pullup(body, -1)
			   : evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	evhttp_parse_query_str(query ? query : "", &slot->params);
}

static void answer(struct evhttp_request *request, const struct web_row *row)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evbuffer_new();

	evhttp_add_header(headers, "Content-Type",
			  row->type ? row->type : "application/json; charset=UTF-8");
	evbuffer_add(body, row->body, strlen(row->body));
	evhttp_send_reply(request, row->status, "whatever", body);
	evbuffer_free(body);
}

static bool is_accepted(const struct web_server *server, const struct evkeyvalq *params)
{
	const char *expires = evhttp_find_header(params, "expires");
	int64_t until_ms;

	if (server->denies)
		return false;
	return !expires || (time_parse(expires, &until_ms) == 0 &&
			    until_ms >= clock_wall_ms() + server->ahead_ms);
}

static bool answer_probe(struct web_server *server, struct evhttp_request *request)
{
	static const struct web_row denied = { .status = 401, .body = WEB_DENIED };
	static const struct web_row accepted = {
		.status = 200,
		.body = "{\"listcapabilitiesresponse\":{\"capability\":{}}}",
	};
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct evkeyvalq params;

	if (!query || !strstr(query, "command=listCapabilities"))
		return false;
	evhttp_parse_query_str(query, &params);
	server->probes++;
	answer(request, is_accepted(server, &params) ? &accepted : &denied);
	evhttp_clear_headers(&params);
	return true;
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct web_server *server = arg;
	const struct web_row *row =
		&server->rows[server->asked < server->row_count ? server->asked
								: server->row_count - 1];
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	if (answer_probe(server, request))
		return;
	remember(server, request);
	switch (row->action) {
	case WEB_ANSWER:
		answer(request, row);
		break;
	case WEB_CUT:
		/* Never answered; evhttp_free() takes the request along. */
		shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)),
			 SHUT_RDWR);
		break;
	case WEB_HOLD:
		server->held[server->held_count++] = request;
		break;
	}
}

static void forget(struct web_server *server)
{
	for (size_t i = 0; i < server->asked; i++)
		evhttp_clear_headers(&server->requests[i].params);
	server->asked = 0;
	server->held_count = 0;
}

void web_server_start(struct web_server *server, struct loop *loop)
{
	struct evhttp_bound_socket *bound;
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	*server = (struct web_server){ .http = evhttp_new(loop_base(loop)) };
	bound = evhttp_bind_socket_with_handle(server->http, "127.0.0.1", 0);
	assert(bound);
	getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &length);
	server->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	evhttp_set_gencb(server->http, on_request, server);
}

void web_server_stop(struct web_server *server)
{
	forget(server);
	if (server->http)
		evhttp_free(server->http);
	server->http = NULL;
}

void web_server_script(struct web_server *server, const struct web_row *rows, size_t count)
{
	assert(rows && count > 0);

	forget(server);
	server->rows = rows;
	server->row_count = count;
}

void web_server_release(struct web_server *server, const struct web_row *row)
{
	struct evhttp_request *request;

	assert(server->held_count > 0);

	request = server->held[0];
	server->held_count--;
	memmove(server->held, server->held + 1, server->held_count * sizeof(server->held[0]));
	answer(request, row);
}

const char *web_server_param(const struct web_server *server, size_t request, const char *name)
{
	assert(request < server->asked);

	return evhttp_find_header(&server->requests[request].params, name);
}
