/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A volume's life in C, with libcurl and cJSON, as life.py has it: the program knows nothing of the
 * daemon but its OpenAPI document.
 *
 *	life http://127.0.0.1:8090
 *
 * The stream of events is one transfer that never ends, driven by a multi handle while the program
 * waits; requests are transfers of their own. A failure ends the program.
 */

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIB 1073741824.0
#define OWN_MAX 16
#define WAIT_MS 1000

struct text {
	char *data; /* ended by NUL, or NULL */
	size_t length;
};

static const char *base;
static cJSON *document;

/* The stream: what has come and was not looked at yet. */
static struct {
	CURLM *multi;
	CURL *transfer;
	struct text lines;
	char kind[32];
} events;

/* The operations that this program has begun. */
static char *own[OWN_MAX];
static size_t own_count;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("life: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	fflush(NULL);
	_exit(1);
}

static void add_bytes(struct text *text, const char *more, size_t length)
{
	char *longer = realloc(text->data, text->length + length + 1);

	if (!longer)
		fail("out of memory");
	memcpy(longer + text->length, more, length);
	text->data = longer;
	text->length += length;
	longer[text->length] = '\0';
}

static void add_text(struct text *text, const char *more)
{
	add_bytes(text, more, strlen(more));
}

/* As libcurl hands over what comes; size is always 1. */
static size_t take(char *data, size_t size, size_t count, void *text)
{
	add_bytes(text, data, size * count);
	return size * count;
}

static const char *text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return text ? text : "";
}

/* ---- requests ---- */

static cJSON *send_request(const char *verb, const char *target, const char *body)
{
	struct curl_slist *headers = NULL;
	struct text url = { 0 }, answer = { 0 };
	CURL *transfer = curl_easy_init();
	cJSON *value;
	CURLcode r;
	long status;

	add_text(&url, base);
	add_text(&url, target);
	curl_easy_setopt(transfer, CURLOPT_URL, url.data);
	curl_easy_setopt(transfer, CURLOPT_CUSTOMREQUEST, verb);
	if (body) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(transfer, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(transfer, CURLOPT_POSTFIELDS, body);
	}
	curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(transfer, CURLOPT_WRITEDATA, &answer);
	r = curl_easy_perform(transfer);
	if (r != CURLE_OK)
		fail("%s %s: %s", verb, target, curl_easy_strerror(r));
	curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &status);
	value = cJSON_Parse(answer.data);
	if (!value)
		fail("%s %s: no JSON", verb, target);
	if (status >= 400)
		fail("%s %s: %s (%s)", verb, target, text_of(value, "error"),
		     text_of(value, "code"));
	curl_slist_free_all(headers);
	curl_easy_cleanup(transfer);
	free(url.data);
	free(answer.data);
	return value;
}

/* The description of an operation; fills in its verb and its path. */
static const cJSON *find_operation(const char *id, const char **verb, const char **path)
{
	const cJSON *verbs, *found;

	cJSON_ArrayForEach(verbs, cJSON_GetObjectItemCaseSensitive(document, "paths"))
	{
		cJSON_ArrayForEach(found, verbs)
		{
			if (strcmp(text_of(found, "operationId"), id) != 0)
				continue;
			*verb = found->string;
			*path = verbs->string;
			return found;
		}
	}
	fail("the document has no %s", id);
}

static char *as_text(const cJSON *value)
{
	return cJSON_IsString(value) ? strdup(value->valuestring) : cJSON_PrintUnformatted(value);
}

/* The path with the arguments that stand in it, which leave the others. */
static void fill_path(struct text *out, const char *path, cJSON *arguments)
{
	for (const char *open; (open = strchr(path, '{')); path = strchr(open, '}') + 1) {
		char name[64];
		char *value, *escaped;
		cJSON *argument;

		add_bytes(out, path, (size_t)(open - path));
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(open + 1, "}"), open + 1);
		argument = cJSON_DetachItemFromObjectCaseSensitive(arguments, name);
		if (!argument)
			fail("%s needs %s", path, name);
		value = as_text(argument);
		escaped = curl_easy_escape(NULL, value, 0);
		add_text(out, escaped);
		curl_free(escaped);
		free(value);
		cJSON_Delete(argument);
	}
	add_text(out, path);
}

/* Takes the arguments. */
static cJSON *call(const char *id, cJSON *arguments)
{
	const char *lower, *path;
	const cJSON *found = find_operation(id, &lower, &path);
	struct text target = { 0 };
	char verb[8] = "";
	char *body = NULL;
	cJSON *answer;

	for (size_t i = 0; lower[i] && i < sizeof(verb) - 1; i++)
		verb[i] = (char)(lower[i] - 'a' + 'A');
	fill_path(&target, path, arguments);
	if (cJSON_HasObjectItem(found, "requestBody"))
		body = cJSON_PrintUnformatted(arguments);
	answer = send_request(verb, target.data, body);
	cJSON_Delete(arguments);
	free(target.data);
	free(body);
	return answer;
}

/* ---- events ---- */

static void open_stream(void)
{
	const char *verb, *path;
	struct text url = { 0 };

	find_operation("event.stream", &verb, &path);
	add_text(&url, base);
	add_text(&url, path);
	events.multi = curl_multi_init();
	events.transfer = curl_easy_init();
	curl_easy_setopt(events.transfer, CURLOPT_URL, url.data);
	curl_easy_setopt(events.transfer, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(events.transfer, CURLOPT_WRITEDATA, &events.lines);
	curl_multi_add_handle(events.multi, events.transfer);
	free(url.data);
}

/* Waits for one line, which the caller frees. */
static char *next_line(void)
{
	char *end, *line;
	int running = 1;

	while (!events.lines.data || !(end = strchr(events.lines.data, '\n'))) {
		if (!running)
			fail("the stream of events has ended");
		if (curl_multi_perform(events.multi, &running) != CURLM_OK ||
		    curl_multi_poll(events.multi, NULL, 0, running ? WAIT_MS : 0, NULL) != CURLM_OK)
			fail("the stream of events cannot be read");
	}
	line = strndup(events.lines.data, (size_t)(end - events.lines.data));
	events.lines.length -= (size_t)(end + 1 - events.lines.data);
	memmove(events.lines.data, end + 1, events.lines.length + 1);
	return line;
}

/* Waits for the end of an operation, whatever operation it is. */
static cJSON *next_end(void)
{
	for (;;) {
		char *line = next_line();
		cJSON *data = NULL, *operation = NULL;

		if (strncmp(line, "event: ", 7) == 0)
			snprintf(events.kind, sizeof(events.kind), "%s", line + 7);
		else if (strncmp(line, "data: ", 6) == 0)
			data = cJSON_Parse(line + 6);
		free(line);
		if (!data)
			continue;
		if (strcmp(events.kind, "resync") == 0)
			fail("events are missing");
		if (strcmp(events.kind, "operation") == 0 &&
		    strcmp(text_of(data, "change"), "ended") == 0)
			operation = cJSON_DetachItemFromObjectCaseSensitive(data, "operation");
		cJSON_Delete(data);
		if (operation)
			return operation;
	}
}

static bool is_own(const char *id)
{
	for (size_t i = 0; i < own_count; i++) {
		if (strcmp(own[i], id) == 0)
			return true;
	}
	return false;
}

static void check_completed(const cJSON *operation)
{
	if (strcmp(text_of(operation, "status"), "completed") != 0)
		fail("%s: %s", text_of(operation, "type"), text_of(operation, "error"));
}

/* Begins a change and waits for its end; the response of its operation. */
static cJSON *change(const char *id, cJSON *arguments)
{
	cJSON *begun = call(id, arguments), *ended = NULL, *response;

	if (own_count == OWN_MAX)
		fail("too many operations");
	own[own_count++] = strdup(text_of(begun, "id"));
	do {
		cJSON_Delete(ended);
		ended = next_end();
	} while (strcmp(text_of(ended, "id"), text_of(begun, "id")) != 0);
	check_completed(ended);
	response = cJSON_DetachItemFromObjectCaseSensitive(ended, "response");
	cJSON_Delete(begun);
	cJSON_Delete(ended);
	return response;
}

/* Waits for the end of a change by another program. */
static cJSON *change_of_others(const char *volume)
{
	for (;;) {
		cJSON *ended = next_end();

		if (strcmp(text_of(ended, "volume_id"), volume) == 0 &&
		    !is_own(text_of(ended, "id"))) {
			check_completed(ended);
			return ended;
		}
		cJSON_Delete(ended);
	}
}

/* ---- the life ---- */

/* One argument, or one more. */
static cJSON *with(cJSON *arguments, const char *name, const char *value)
{
	cJSON *all = arguments ? arguments : cJSON_CreateObject();

	cJSON_AddStringToObject(all, name, value);
	return all;
}

static cJSON *with_size(cJSON *arguments, double size)
{
	cJSON_AddNumberToObject(arguments, "size", size);
	return arguments;
}

/* The id of the first item of a list whose member is true, or 0, or of the first item of all. */
static char *find_id(const char *method, const char *list, const char *true_member,
		     const char *zero_member)
{
	cJSON *answer = call(method, cJSON_CreateObject());
	char *id = NULL;
	cJSON *item;

	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, list))
	{
		if (true_member && !cJSON_IsTrue(cJSON_GetObjectItem(item, true_member)))
			continue;
		if (zero_member &&
		    cJSON_GetNumberValue(cJSON_GetObjectItem(item, zero_member)) != 0)
			continue;
		id = strdup(text_of(item, "id"));
		break;
	}
	if (!id)
		fail("%s: there is none", method);
	cJSON_Delete(answer);
	return id;
}

/* Prints a member of the answer, which is freed. */
static void say_value(cJSON *answer, const char *member)
{
	char *text = as_text(cJSON_GetObjectItemCaseSensitive(answer, member));

	printf("%s\n", text ? text : "");
	free(text);
	cJSON_Delete(answer);
}

static void say(const char *word, cJSON *answer, const char *member)
{
	printf("%s ", word);
	say_value(answer, member);
}

static char *create(void)
{
	char *offering = find_id("offering.list", "offerings", NULL, "size");
	char *zone = find_id("zone.list", "zones", NULL, NULL);
	cJSON *arguments = with(with(with(NULL, "name", "life"), "disk_offering_id", offering),
				"zone_id", zone);
	cJSON *created = change("volume.create", with_size(arguments, GIB));
	char *volume = strdup(text_of(created, "volume_id"));

	say("created", created, "volume_id");
	free(offering);
	free(zone);
	return volume;
}

static void say_who(const char *volume)
{
	cJSON *other = change_of_others(volume);
	cJSON *history =
		call("operation.history", with(NULL, "operation_id", text_of(other, "id")));
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(history, "history"), 0);

	printf("changed %s %s %s\n", text_of(other, "type"),
	       text_of(cJSON_GetObjectItem(first, "caller"), "surface"),
	       text_of(first, "asked_by"));
	cJSON_Delete(other);
	cJSON_Delete(history);
}

static void live(void)
{
	char *here = find_id("vm.list", "vms", "is_appliance", NULL);
	char *volume = create();
	cJSON *served;

	say("attached",
	    change("volume.attach", with(with(NULL, "volume_id", volume), "vm_id", here)),
	    "device_path");
	say("device", call("volume.device", with(NULL, "volume_id", volume)), "device_path");
	served = call("export.get", with(NULL, "volume_id", volume));
	printf("export %s ", text_of(served, "export_name"));
	say_value(served, "port");
	say("resized", change("volume.resize", with_size(with(NULL, "volume_id", volume), 2 * GIB)),
	    "size");

	puts("ready");
	say_who(volume);

	say("detached", change("volume.detach", with(NULL, "volume_id", volume)), "device_path");
	say("deleted", change("volume.delete", with(NULL, "volume_id", volume)), "volume_id");
	free(here);
	free(volume);
}

int main(int argc, char *argv[])
{
	if (argc != 2)
		fail("usage: life URL");
	base = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	document = send_request("GET", "/api/v1/openapi.json", NULL);
	open_stream();
	free(next_line()); /* the stream is open: nothing after this is missed */
	live();

	curl_multi_remove_handle(events.multi, events.transfer);
	curl_easy_cleanup(events.transfer);
	curl_multi_cleanup(events.multi);
	free(events.lines.data);
	for (size_t i = 0; i < own_count; i++)
		free(own[i]);
	cJSON_Delete(document);
	curl_global_cleanup();
	return 0;
}
