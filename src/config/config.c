/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration table and its walks; inih does the reading of lines. */

#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mdoc.h"
#include "base/uuid.h"
#include "spec/names.h"
#include "spec/records.h"

#define CONFIG_MAX (64 << 10)
#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define F(MEMBER, TYPE, ...) FIELD(config, MEMBER, TYPE, __VA_ARGS__)
#define LIVE .flags = CONFIG_LIVE
static const struct field config_fields[] = {
	F(http_listen, TEXT, .fallback = "127.0.0.1:8090 [::1]:8090", .min = 1, .max = 255,
	  .doc = "Where the REST interface listens: a loopback address and port (port 0 takes a "
		 "free one), which every local user may use, or unix: and a path, which root and the "
		 "group may use. https:// before an address and port encrypts it with the certificate of "
		 "tls_dir; an address that other machines reach needs that, and require_token. Several of "
		 "them with blanks between; one of IPv6 is left out on a machine without IPv6. The daemon "
		 "also serves the sockets that systemd passes (volume-daemon.socket, "
		 "volume-daemon-unix.socket), and does not bind their addresses itself."),
	F(http_tls_dir, TEXT, .max = 4000,
	  .doc = "Folder with server-cert.pem (the certificate, and those between it and its authority) and "
		 "server-key.pem, for the https:// addresses of listen. Renewed files are used without a "
		 "restart. The file of the key must be readable by its owner only."),
	F(http_group, TEXT, .fallback = "volume-daemon", .min = 1, .max = 64,
	  .doc = "Group whose members may connect to unix sockets of REST and of the NBD server. If it is "
		 "another one, set Group= of volume-daemon.service to it as well."),
	F(http_loopback_access, ENUM, LIVE, .fallback = "admin", .names = access_names,
	  .doc = "What a program of this machine may do over TCP if it shows no token: read, change "
		 "(volumes and exports as well), or admin (everything)."),
	F(http_require_token, BOOL, LIVE, .fallback = "no",
	  .doc = "Refuse requests over TCP that show no token. Unix sockets stay open to root and the group."),
	F(http_max_requests, INT, LIVE, .fallback = "256", .min = 1, .max = 10000,
	  .doc = "Requests answered at the same time, as many lists, and as many requests that wait "
		 "for operations, those of users of unix sockets and of tokens apart from those of all "
		 "others; further callers are told to come back later."),
	F(http_caller_requests, INT, LIVE, .fallback = "200", .min = 1, .max = 1000000,
	  .doc = "Requests a second of one user of a unix socket, and of one token. Here and below, "
		 "root and the daemon's own user have no such limit on a unix socket."),
	F(http_caller_connections, INT, LIVE, .fallback = "64", .min = 1, .max = 100000,
	  .doc = "Connections at the same time of one such user or token; there may be fewer, see "
		 "max_requests."),
	F(http_anonymous_requests, INT, LIVE, .fallback = "2000", .min = 1, .max = 1000000,
	  .doc = "Requests a second of all programs together that show no token over TCP."),
	F(http_anonymous_connections, INT, LIVE, .fallback = "1024", .min = 1, .max = 100000,
	  .doc = "Connections at the same time of all these programs together."),
	F(cloud_url, TEXT, LIVE,
	  .doc = "Address of CloudStack's API, such as https://cloud.example.org/client/api. "
		 "Without an address nothing can be changed. With a store in MariaDB, the active "
		 "row of its table ossea_configs can hold the address and the keys that this "
		 "section leaves open."),
	F(cloud_api_key_file, TEXT, LIVE,
	  .doc = "File with the API key on its first line, readable by its owner only; blanks around "
		 "the key do not count. Default: "
		 "the systemd credential cloudstack-api-key."),
	F(cloud_secret_key_file, TEXT, LIVE,
	  .doc = "File with the secret key, likewise. Default: the systemd credential cloudstack-secret-key."),
	F(cloud_ca_file, TEXT, LIVE,
	  .doc = "CA certificates that sign CloudStack's. Default: the system's."),
	F(cloud_timeout, DURATION, LIVE, .fallback = "30s", .min = 100, .max = 10 * MINUTE,
	  .doc = "Time for one request."),
	F(cloud_poll_min, DURATION, LIVE, .fallback = "500ms", .min = 10, .max = MINUTE,
	  .doc = "First wait between two queries of a job, doubled each time, while it is not known how "
		 "long such jobs take. After that, queries come around the expected end of the job."),
	F(cloud_poll_max, DURATION, LIVE, .fallback = "5s", .min = 10, .max = 10 * MINUTE,
	  .doc = "Longest such wait."),
	F(cloud_job_wait, DURATION, LIVE, .fallback = "35min", .min = 1000, .max = 48 * HOUR,
	  .doc = "Time for one job. The default is a little more than CloudStack itself waits for a hypervisor."),
	F(cloud_parallel, INT, LIVE, .fallback = "16", .min = 1, .max = 256,
	  .doc = "Requests to CloudStack at the same time."),
	F(cloud_zone, TEXT, LIVE, .max = 255,
	  .doc = "Zone of new volumes if the caller names none, by its id or its name. Default: zone in "
		 "ossea_configs."),
	F(cloud_project_id, TEXT, .max = 36,
	  .doc = "UUID of the project whose volumes the daemon sees and creates. all: it sees the "
		 "volumes of every project and of the account; a request to create one can name "
		 "the project. Default: only volumes that belong to no project."),
	F(appliance_vm_id, UUID, LIVE,
	  .doc = "CloudStack's id of this virtual machine. Default: oma_vm_id in ossea_configs, else the DMI product UUID."),
	F(device_buses, TEXT, .fallback = "virtio scsi", .max = 100,
	  .doc = "Disks that can be volumes: virtio, scsi, other, and loop for trials without a hypervisor."),
	F(device_scan_interval, DURATION, LIVE, .fallback = "2s", .min = 10, .max = 10 * MINUTE,
	  .doc = "How often the kernel's disks are listed; kernel events bring the next listing forward."),
	F(device_wait, DURATION, LIVE, .fallback = "2min", .min = 100, .max = HOUR,
	  .doc = "Time for a disk to appear after an attachment, or to go after a detachment."),
	F(device_probe_timeout, DURATION, .fallback = "30s", .min = 100, .max = HOUR,
	  .doc = "Time for reading the contents of a disk, and for finding out how it is used."),
	F(device_stable_names, BOOL, .fallback = "yes",
	  .doc = "Give each volume a name under /dev/mapper that never changes. Needs the kernel's device mapper."),
	F(device_hold_seconds, INT, LIVE, .fallback = "60", .min = 1, .max = 3600,
	  .doc = "Seconds that programs which use a name wait for a detached volume to come back, "
		 "at the most: if the daemon stops, they get errors at once."),
	F(device_sysfs_root, TEXT, .fallback = "/sys", .min = 1, .max = 4000,
	  .doc = "Where sysfs is mounted."),
	F(device_dev_root, TEXT, .fallback = "/dev", .min = 1, .max = 4000,
	  .doc = "Where device nodes are."),
	F(export_engine, ENUM, .fallback = "qemu-storage-daemon", .names = export_engine_names,
	  .doc = "The program that serves volumes over NBD. none turns exports off. nbd-server is no "
		 "choice: before version 3.25 its reload corrupts its memory, and it goes on serving "
		 "exports that were removed."),
	F(export_listen, TEXT, .fallback = "127.0.0.1:10809", .min = 1, .max = 255,
	  .doc = "Address of the NBD server: a loopback address and port, which every local user may "
		 "use, or unix: and a path, which root and http.group may use. "
		 "Another address needs tls_dir with a client-cert.pem in it, so that clients must "
		 "show a certificate, too."),
	F(export_tls_dir, TEXT, .max = 4000,
	  .doc = "Folder with ca-cert.pem, server-cert.pem and server-key.pem, which only its owner may read. "
		 "Without it there is no TLS."),
	F(export_qmp_socket, TEXT, .max = 100,
	  .doc = "QMP socket of a qemu-storage-daemon that runs as a unit of its own, and so outlives this daemon. "
		 "Default: the daemon starts one itself."),
	F(export_run_dir, TEXT, .fallback = "/run/volume-daemon/export", .min = 1, .max = 80,
	  .doc = "Folder for the engine's sockets and links, and for the times until which users "
		 "of names wait."),
	F(store_url, TEXT, .fallback = "sqlite:///var/lib/volume-daemon/volume-daemon.db", .min = 1,
	  .max = 4000,
	  .doc = "Where operations and mappings are kept: sqlite:// and a path, or "
		 "mariadb://USER@HOST[:PORT][,HOST...]/DATABASE[?socket=PATH&tls=off|on|verify&ca=PATH&cert=PATH&"
		 "key=PATH]."),
	F(store_password_file, TEXT,
	  .doc = "File with the database user's password on its first line, readable by its owner "
		 "only. Default: the systemd credential store-password; without either there is no "
		 "password."),
	F(store_retention, DURATION, LIVE, .fallback = "0s", .min = 0, .max = 3650 * DAY,
	  .doc = "How long ended operations stay in the store, at least 1d; 0 keeps them without "
		 "end. Operations that need attention stay in any case."),
	F(reconcile_interval, DURATION, LIVE, .fallback = "60s", .min = 1000, .max = DAY,
	  .doc = "How often CloudStack's volumes are compared with store and kernel: those of the "
		 "appliance and with mappings; all others too, if their list takes CloudStack at "
		 "most a hundredth of this time."),
	F(operations_max, INT, LIVE, .fallback = "10000", .min = 1, .max = 1000000,
	  .doc = "Unfinished operations at the same time; further callers are told to come back "
		 "later."),
	F(operations_max_per_caller, INT, LIVE, .fallback = "1000", .min = 1, .max = 1000000,
	  .doc = "The same of one user of a unix socket of REST, but for root and the daemon's own "
		 "user, and of one token."),
	F(operations_allow_vm_expunge, BOOL, LIVE, .fallback = "no",
	  .doc = "A cleanup after a failover test may delete the virtual machine of the test with its "
		 "root disk, for good, if the request asks for that."),
	F(log_level, TEXT, LIVE, .fallback = "info", .min = 1, .max = 255,
	  .doc = "The least severe level that is logged: error, warning, notice, info or debug. Behind "
		 "it levels of single modules can stand, as in info,cloud=debug,rest=warning; the "
		 "modules are daemon, base, bus, cloud, config, core, disk, dm, io, nbd, rest and "
		 "store."),
};
#undef F
#undef LIVE
const struct record config_record = RECORD("configuration", config, config_fields);

static const char *key_of(const struct field *field)
{
	return strchr(field->name, '_') + 1;
}

static int section_length(const struct field *field)
{
	return (int)(strchr(field->name, '_') - field->name);
}

char *config_key(const struct field *field)
{
	return xasprintf("%.*s.%s", section_length(field), field->name, key_of(field));
}

/* ---- reading ---- */

struct reading {
	struct config *config;
	const char *rest; /* of the file, where inih goes on */
	struct err err;
	int line;                             /* the last one that inih was given, from 1 */
	int lines[ARRAY_SIZE(config_fields)]; /* 0: not seen yet */
};

static void list_keys(const char *section, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++) {
		const struct field *field = &config_fields[i];
		int length = section_length(field);

		if ((int)strlen(section) == length &&
		    strncmp(section, field->name, (size_t)length) == 0)
			buf_printf(out, "%s%s", out->length ? ", " : "", key_of(field));
	}
}

static void list_sections(struct buf *out)
{
	int last = 0;

	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++) {
		const char *name = config_fields[i].name;
		int length = section_length(&config_fields[i]);

		if (i > 0 && length == last &&
		    strncmp(name, config_fields[i - 1].name, (size_t)length) == 0)
			continue;
		buf_printf(out, "%s%.*s", out->length ? ", " : "", length, name);
		last = length;
	}
}

static int refuse_unknown(const char *section, const char *key, struct err *err)
{
	_cleanup_buf_ struct buf keys = BUF_NULL;

	list_keys(section, &keys);
	if (keys.length)
		return err_set(err, ERR_INVALID, "[%s] has no key \"%s\"; it has: %s", section, key,
			       keys.data);
	list_sections(&keys);
	if (!*section)
		return err_set(err, ERR_INVALID,
			       "%s stands above the first [section]; there are: %s", key,
			       keys.data);
	return err_set(err, ERR_INVALID, "there is no section [%s]; there are: %s", section,
		       keys.data);
}

/* inih removes blanks of ASCII around a key and its value. Others come along from web pages, and no
 * editor shows them. */
static int check_blanks(const char *section, const char *key, const char *value, struct err *err)
{
	const char *blank = str_hidden_blank(section);

	if (!blank)
		blank = str_hidden_blank(key);
	if (blank)
		return err_set(
			err, ERR_INVALID,
			"the name of the section or of the key holds %s, which no editor shows; "
			"type the line anew",
			blank);
	blank = str_hidden_blank(value);
	if (blank)
		return err_set(err, ERR_INVALID,
			       "%s.%s holds %s, which no editor shows; type the value anew",
			       section, key, blank);
	return 0;
}

static int read_pair(struct reading *reading, const char *section, const char *key,
		     const char *value)
{
	_cleanup_free_ char *name = xasprintf("%s_%s", section, key);
	const struct field *field = record_find(&config_record, name);

	if (check_blanks(section, key, value, &reading->err) < 0)
		return -1;
	if (!field)
		return refuse_unknown(section, key, &reading->err);
	if (reading->lines[field - config_fields])
		return err_set(&reading->err, ERR_INVALID, "%s.%s is given twice", section, key);
	reading->lines[field - config_fields] = reading->line;
	if (field_from_text(field, reading->config, value, &reading->err) == 0)
		return 0;
	/* The text begins with the member's name; users know the key by its section and a dot. */
	if (str_has_prefix(reading->err.text, name))
		reading->err.text[strlen(section)] = '.';
	return -1;
}

/*
 * inih's convention: 0 is an error, and the parser then returns the number of the first line with
 * an error.
 */
static int on_pair(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;

	if (reading->err.code)
		return 1;
	return read_pair(reading, section, key, value) == 0;
}

/* As fgets(3): inih does not tell a pair's line, so the lines are counted as it takes them. No line
 * is longer than size, see check_lines(). */
static char *give_line(char *out, int size, void *stream)
{
	struct reading *reading = stream;
	size_t length = strcspn(reading->rest, "\n");

	length += reading->rest[length] == '\n';
	if (length == 0 || length >= (size_t)size)
		return NULL;
	memcpy(out, reading->rest, length);
	out[length] = '\0';
	reading->rest += length;
	reading->line++;
	return out;
}

/* inih cuts longer lines silently, and would take a NUL for the end of the file. */
static int check_lines(const char *path, const char *text, size_t bytes, struct err *err)
{
	int line = 1;

	for (const char *start = text; start < text + bytes; line++) {
		size_t length = strcspn(start, "\n");

		if (length >= INI_MAX_LINE - 2)
			return err_set(err, ERR_INVALID,
				       "%s:%d: the line is longer than %d characters", path, line,
				       INI_MAX_LINE - 3);
		start += length;
		if (*start == '\0' && start < text + bytes)
			return err_set(
				err, ERR_INVALID,
				"%s:%d: the line has a NUL character; the file may be damaged",
				path, line);
		start += *start == '\n';
	}
	return 0;
}

/* inih reports the first bad line only: was the line malformed, or did we refuse its value? */
static bool is_pair_at(const char *text, int line)
{
	size_t length;

	for (; line > 1; line--)
		text = strchr(text, '\n') + 1;
	text += strspn(text, " \t");
	length = strcspn(text, "\n");
	return *text != '[' && (memchr(text, '=', length) || memchr(text, ':', length));
}

static int read_text(struct reading *reading, const char *path, const char *text, size_t length,
		     struct err *err)
{
	int line;

	if (str_has_prefix(text, "\xff\xfe") || str_has_prefix(text, "\xfe\xff"))
		return err_set(err, ERR_INVALID, "%s:1: the file is in UTF-16; save it as UTF-8",
			       path);
	if (check_lines(path, text, length, err) < 0)
		return -1;
	reading->rest = text;
	line = ini_parse_stream(give_line, reading, on_pair, reading);
	if (line > 0 && (!reading->err.code || !is_pair_at(text, line)))
		return err_set(err, ERR_INVALID, "%s:%d: this is neither [section] nor key = value",
			       path, line);
	if (line > 0)
		return err_set_field(err, reading->err.field, ERR_INVALID, "%s:%d: %s", path, line,
				     reading->err.text);
	return 0;
}

static void remember(const struct reading *reading, const char *path, bool exists,
		     struct config_source *source)
{
	config_source_clear(source);
	source->path = xstrdup(path);
	source->exists = exists;
	source->lines = xcalloc(ARRAY_SIZE(reading->lines), sizeof(*reading->lines));
	memcpy(source->lines, reading->lines, sizeof(reading->lines));
}

static int read_file(struct config *config, const char *path, bool must_exist,
		     struct config_source *source, struct err *err)
{
	struct reading reading = { .config = config };
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r;

	record_init(&config_record, config);
	text = read_file_at(AT_FDCWD, path, CONFIG_MAX, &length);
	if (!text && (errno != ENOENT || must_exist))
		return err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
	r = text ? read_text(&reading, path, text, length, err) : 0;
	remember(&reading, path, text != NULL, source);
	if (r == 0 && config_check(config, err) < 0) {
		config_blame(source, err);
		r = -1;
	}
	return r;
}

int config_read(struct config *config, const char *path, bool must_exist,
		struct config_source *source, struct err *err)
{
	struct config_source unwanted = { 0 };
	int r = read_file(config, path, must_exist, source ? source : &unwanted, err);

	config_source_clear(&unwanted);
	return r;
}

void config_source_clear(struct config_source *source)
{
	free(source->path);
	free(source->lines);
	*source = (struct config_source){ 0 };
}

void config_blame(const struct config_source *source, struct err *err)
{
	const struct field *field = record_find(&config_record, err->field);
	int line = field && source->lines ? source->lines[field - config_fields] : 0;

	if (!source->exists)
		return;
	if (line)
		err_prefix(err, "%s:%d", source->path, line);
	else
		err_prefix(err, "%s", source->path);
}

/* ---- checks beyond a field's limits ---- */

int config_buses(const struct config *config, unsigned *out, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(config->device_buses);
	char *rest = NULL;

	*out = 0;
	for (char *word = strtok_r(words, " ,", &rest); word; word = strtok_r(NULL, " ,", &rest)) {
		unsigned bus = 0;

		while (bus < BUS_COUNT && !streq(device_bus_names[bus], word))
			bus++;
		if (bus == BUS_COUNT)
			return err_set_field(
				err, "device_buses", ERR_INVALID,
				"device.buses: \"%s\" is no bus; there are virtio, scsi, loop, other",
				word);
		*out |= 1U << bus;
	}
	if (!*out)
		return err_set_field(
			err, "device_buses", ERR_INVALID,
			"device.buses: name at least one of virtio, scsi, loop, other");
	return 0;
}

int config_check(const struct config *config, struct err *err)
{
	struct log_levels levels;
	struct err why = { 0 };
	unsigned buses;

	if (config_buses(config, &buses, err) < 0)
		return -1;
	if (log_levels_parse(config->log_level, &levels, &why) < 0)
		return err_set_field(err, "log_level", ERR_INVALID, "log.level: %s", why.text);
	if (config->cloud_project_id && !streq(config->cloud_project_id, CONFIG_ALL_PROJECTS) &&
	    !uuid_is_valid(config->cloud_project_id))
		return err_set_field(
			err, "cloud_project_id", ERR_INVALID,
			"cloud.project_id must be a project's UUID or the word all, got \"%s\"",
			config->cloud_project_id);
	if (config->cloud_poll_min > config->cloud_poll_max)
		return err_set_field(err, "cloud_poll_min", ERR_INVALID,
				     "cloud.poll_min must not be more than cloud.poll_max");
	if (config->store_retention && config->store_retention < DAY)
		return err_set_field(
			err, "store_retention", ERR_INVALID,
			"store.retention must be 0 or at least 1d: a request can be repeated by "
			"its key for that long");
	if (config->cloud_url && !str_has_prefix(config->cloud_url, "http://") &&
	    !str_has_prefix(config->cloud_url, "https://"))
		return err_set_field(err, "cloud_url", ERR_INVALID,
				     "cloud.url must begin with http:// or https://");
	return 0;
}

/* ---- the sample ---- */

static void put_wrapped(struct buf *out, const char *text)
{
	size_t column = 0;

	for (const char *word = text; *word;) {
		size_t length = strcspn(word, " ");

		if (column > 0 && column + 1 + length > 98)
			column = 0;
		buf_add_text(out, column ? " " : word == text ? "# " : "\n# ");
		buf_add(out, word, length);
		column += length + 1;
		word += length;
		word += strspn(word, " ");
	}
	buf_add_char(out, '\n');
}

static void add_limits(struct buf *out, const struct field *field)
{
	struct config limit = { 0 };

	buf_add_text(out, field_type_view(field->type)->what);
	if (field->names) {
		buf_add_text(out, ":");
		for (size_t i = 0; field->names[i]; i++)
			buf_printf(out, " %s", field->names[i]);
	} else if (field->type == FIELD_INT || field->type == FIELD_DURATION) {
		*(int64_t *)field_of(field, &limit) = field->min;
		buf_add_text(out, ", ");
		field_to_text(field, &limit, out);
		*(int64_t *)field_of(field, &limit) = field->max;
		buf_add_text(out, " to ");
		field_to_text(field, &limit, out);
	}
}

static const char *in_force(const struct field *field)
{
	return field->flags & CONFIG_LIVE ? "in force after a reload" : "in force after a restart";
}

void config_sample(struct buf *out)
{
	const char *section = "";

	buf_add_text(
		out,
		"# Configuration of volume-daemon. Every key is shown with its default; remove the "
		"# in front to change a key.\n");
	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++) {
		const struct field *field = &config_fields[i];
		int length = section_length(field);

		if (strncmp(section, field->name, (size_t)length + 1) != 0)
			buf_printf(out, "\n[%.*s]\n", length, field->name);
		section = field->name;
		buf_add_char(out, '\n');
		put_wrapped(out, field->doc);
		buf_add_text(out, "# ");
		add_limits(out, field);
		buf_printf(out, "; %s\n", in_force(field));
		buf_printf(out, "#%s =%s%s\n", key_of(field), field->fallback ? " " : "",
			   str_or(field->fallback, ""));
	}
}

/* ---- the manual page ---- */

static const char manual_head[] =
	".Dd November 30, 2026\n"
	".Dt VOLUME-DAEMON.CONF 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm volume-daemon.conf\n"
	".Nd configuration of volume-daemon\n"
	".Sh SYNOPSIS\n"
	".Pa /etc/volume-daemon/volume-daemon.conf\n"
	".Sh DESCRIPTION\n"
	"The file has sections in square brackets, and below each its keys:\n"
	".Pp\n"
	".Dl [cloud]\n"
	".Dl url = https://cloud.example.org/client/api\n"
	".Pp\n"
	"A line that begins with # or ; is a comment.\n"
	"Without the file, every key has its default.\n"
	"A key that is unknown, is given twice, or has a value outside its limits is an error, and the daemon\n"
	"does not start;\n"
	".Ql volume-daemon --check-config\n"
	"names the same errors without a start.\n"
	".Ss Changing the configuration of a running daemon\n"
	".Ql systemctl reload volume-daemon ,\n"
	".Ql volumectl reload ,\n"
	"the method\n"
	".Fn Reload\n"
	"on D-Bus,\n"
	".Ql POST /api/v1/admin/reload\n"
	"over REST, and the signal\n"
	".Dv SIGHUP\n"
	"make the daemon read the file and the files it names anew.\n"
	"If there is an error in one of them, nothing changes.\n"
	"Otherwise the keys that are marked\n"
	".Em in force after a reload\n"
	"have their new values at once; for the others the answer says that they wait for a restart.\n"
	"The files with CloudStack's keys count as a part of the keys that name them.\n"
	".Sh KEYS\n";

static const char manual_tail[] = ".Sh FILES\n"
				  ".Bl -tag -width Ds\n"
				  ".It Pa /usr/share/doc/volume-daemon/volume-daemon.conf\n"
				  "A sample with every key and its default.\n"
				  ".El\n"
				  ".Sh SEE ALSO\n"
				  ".Xr volumectl 1 ,\n"
				  ".Xr volume-daemon 8\n";

static void put_key(struct buf *out, const struct field *field)
{
	_cleanup_buf_ struct buf limits = BUF_NULL;

	buf_printf(out, ".It Ic %s", key_of(field));
	if (field->fallback)
		buf_printf(out, " Pq default: Li \"%s\"", field->fallback);
	buf_add_char(out, '\n');
	mdoc_add_text(out, field->doc);
	add_limits(&limits, field);
	buf_printf(&limits, "; %s.", in_force(field));
	buf_add_text(out, ".br\n");
	mdoc_add_text(out, limits.data);
}

void config_manual(struct buf *out)
{
	const char *section = "";

	buf_add_text(out, manual_head);
	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++) {
		const struct field *field = &config_fields[i];
		int length = section_length(field);

		if (strncmp(section, field->name, (size_t)length + 1) != 0)
			buf_printf(out, "%s.Ss [%.*s]\n.Bl -tag -width Ds\n", i ? ".El\n" : "",
				   length, field->name);
		section = field->name;
		put_key(out, field);
	}
	buf_add_text(out, ".El\n");
	buf_add_text(out, manual_tail);
}

void config_clear(struct config *config)
{
	record_clear(&config_record, config);
}
