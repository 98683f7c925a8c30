/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The doctor's checks of this machine: the configuration, the bus, the daemon's process, device
 * mapper, and groups. All of them say something without the daemon as well.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "build_config.h"
#include "volumectl/doctor_checks.h"

#define AS_ROOT "look as root: sudo volumectl doctor"

/* --- the configuration --- */

/* The daemon asks for the group's number, and a directory server may be slow. */
#define CHECK_MS 15000
#define SAID_MAX 16384

static int start(char *const *argv, pid_t *pid, int *from)
{
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDERR_FILENO);
	r = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (r == 0)
		*from = pipe_fds[0];
	else
		close(pipe_fds[0]);
	return r;
}

/* To the end of the program's output; false: its time is over. */
static bool hear(int from, struct buf *said)
{
	int64_t until_ms = clock_mono_ms() + CHECK_MS;

	for (;;) {
		struct pollfd wait = { .fd = from, .events = POLLIN };
		int64_t left_ms = until_ms - clock_mono_ms();
		char bytes[1024];
		ssize_t length;

		if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0)
			return false;
		length = read(from, bytes, sizeof(bytes));
		if (length == 0 || (length < 0 && errno != EINTR))
			return true;
		if (length > 0 && said->length < SAID_MAX)
			buf_add(said, bytes, (size_t)length);
	}
}

/* The exit status of the program; -1: it could not be run, and *said has the reason. */
static int run(char *const *argv, struct buf *said)
{
	int from = -1, status = 0, r;
	pid_t pid = -1;
	bool ended;

	r = start(argv, &pid, &from);
	if (r) {
		buf_printf(said, "%s cannot be started: %s", argv[0], strerrordesc_np(r));
		return -1;
	}
	ended = hear(from, said);
	close(from);
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!ended) {
		buf_reset(said);
		buf_printf(said, "the check of the configuration took more than %d s",
			   CHECK_MS / 1000);
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The words of a line of the log: without the priority that the journal reads, and the newline. */
static char *words_of(const struct buf *said)
{
	const char *text = str_or(said->data, "");
	size_t length;

	if (text[0] == '<' && text[1] && text[2] == '>')
		text += 3;
	length = strlen(text);
	while (length > 0 && text[length - 1] == '\n')
		length--;
	return xstrndup(text, length);
}

static void judge(const struct doctor *doctor, const char *path, struct finding *finding)
{
	_cleanup_free_ char *program = ctl_program("daemon/volume-daemon", DAEMON_PROGRAM);
	_cleanup_free_ char *file = xstrdup(path);
	char check[] = "--check-config", config[] = "--config";
	char *const argv[] = { program, check, doctor->config ? config : NULL, file, NULL };
	_cleanup_buf_ struct buf said = BUF_NULL;
	int status = run(argv, &said);
	_cleanup_free_ char *words = words_of(&said);

	if (status == 0)
		finding_set(finding, VERDICT_OK, NULL, "%s is valid", path);
	else if (status < 0)
		finding_set(finding, VERDICT_UNKNOWN, "install volume-daemon completely", "%s",
			    words);
	else if (geteuid() != 0 && strstr(words, strerrordesc_np(EACCES)))
		finding_set(finding, VERDICT_UNKNOWN, AS_ROOT, "%s", words);
	else
		finding_set(finding, VERDICT_WRONG,
			    doctor->runs ? "correct the file, then: volumectl reload"
					 : "correct the file, then: systemctl start volume-daemon",
			    "%s", words);
}

void check_configuration(const struct doctor *doctor, struct finding *finding)
{
	const char *path = doctor->config ? doctor->config : CONFIG_FILE;

	if (access(path, R_OK) == 0)
		judge(doctor, path, finding);
	else if (errno == EACCES)
		finding_set(finding, VERDICT_UNKNOWN, AS_ROOT, "this user may not read %s", path);
	else
		finding_set(
			finding, VERDICT_WARNING,
			"write it (volume-daemon --sample-config prints all keys), or name another with --config",
			"%s cannot be read: %s", path, strerrordesc_np(errno));
}

/* --- the bus and the daemon --- */

#define POLICY "dbus-1/system.d/" BUS_NAME ".conf"

static bool has_policy(void)
{
	return access("/usr/share/" POLICY, F_OK) == 0 || access("/etc/" POLICY, F_OK) == 0 ||
	       access("/usr/local/share/" POLICY, F_OK) == 0;
}

/* Another bus than the system's has a policy of its own. */
static bool is_system_bus(const struct doctor *doctor)
{
	return !doctor->ctl->options.address && !getenv("DBUS_SYSTEM_BUS_ADDRESS");
}

void check_bus(const struct doctor *doctor, struct finding *finding)
{
	if (!doctor->has_bus)
		finding_set(finding, VERDICT_WRONG, "systemctl start dbus", "%s",
			    doctor->no_health.text);
	else if (doctor->runs)
		finding_set(finding, VERDICT_OK, NULL, "volume-daemon has its name on the bus");
	else if (is_system_bus(doctor) && !has_policy())
		finding_set(finding, VERDICT_WRONG,
			    "install volume-daemon completely, then: systemctl reload dbus",
			    "the bus is there, but its policy " POLICY
			    " is not, so that the daemon may not have its name");
	else
		finding_set(finding, VERDICT_OK, NULL, "the bus is there");
}

void check_daemon(const struct doctor *doctor, struct finding *finding)
{
	enum err_code code = doctor->no_health.code;

	if (doctor->health)
		finding_set(finding, VERDICT_OK, NULL, "volume-daemon has run for %lld s and is %s",
			    (long long)doctor_figure(doctor, "uptime_seconds"),
			    doctor_word(doctor, "status"));
	else if (!doctor->has_bus)
		finding_set(finding, VERDICT_UNKNOWN, NULL,
			    "without the bus the daemon cannot be asked");
	else if (!doctor->runs)
		finding_set(
			finding, VERDICT_WRONG,
			geteuid() == 0
				? "systemctl start volume-daemon; if it ends: journalctl -u volume-daemon"
				: "sudo systemctl start volume-daemon; if it ends: sudo journalctl -u volume-daemon",
			"volume-daemon is not running");
	else if (code == ERR_FORBIDDEN || code == ERR_UNAUTHORIZED)
		finding_set(finding, VERDICT_WARNING, AS_ROOT, "%s", doctor->no_health.text);
	else
		finding_set(finding, VERDICT_WRONG,
			    "systemctl status volume-daemon; journalctl -u volume-daemon", "%s",
			    doctor->no_health.text);
}

/* --- device mapper --- */

#define CONTROL "/dev/mapper/control"

void check_device_mapper(const struct doctor *doctor, struct finding *finding)
{
	const char *word = doctor_detail(doctor, "stable_names_health");

	if (streq(word, "healthy"))
		finding_set(finding, VERDICT_OK, NULL, "each volume has a name under /dev/mapper");
	else if (streq(word, "turned off"))
		finding_set(finding, VERDICT_OK, NULL,
			    "stable names are turned off (device.stable_names)");
	else if (doctor->health)
		finding_set(
			finding, VERDICT_WARNING,
			access(CONTROL, F_OK) == 0
				? "correct the cause, then: systemctl restart volume-daemon; or set device.stable_names = no"
				: "modprobe dm_mod, then: systemctl restart volume-daemon; if this kernel has no device mapper, set device.stable_names = no",
			"volumes have no stable names: %s", word);
	else if (access(CONTROL, F_OK) == 0)
		finding_set(finding, VERDICT_OK, NULL, "the kernel has it");
	else
		finding_set(
			finding, VERDICT_WARNING,
			"modprobe dm_mod; if this kernel has none, set device.stable_names = no",
			CONTROL " is missing, so that volumes cannot have stable names");
}

/* --- groups --- */

#define USUAL_GROUP "volume-daemon"
#define GROUPS_MAX 65536

/* The group that may use a unix socket, from the words about who may; NULL: they name none. */
static char *group_in(const char *words)
{
	static const char before[] = "the group ";
	const char *at = strstr(words, before);

	return at ? xstrndup(at + strlen(before), strcspn(at + strlen(before), ", ")) : NULL;
}

static bool is_root_alone(const char *words)
{
	return streq(words, "root") || str_has_prefix(words, "root,");
}

static bool is_member(gid_t group)
{
	int count = getgroups(0, NULL);
	_cleanup_free_ gid_t *groups = NULL;

	if (getegid() == group)
		return true;
	if (count <= 0 || count > GROUPS_MAX)
		return false;
	groups = xcalloc((size_t)count, sizeof(*groups));
	count = getgroups(count, groups);
	for (int i = 0; i < count; i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

static void judge_group(const char *name, struct finding *finding)
{
	const struct group *group = getgrnam(name);
	_cleanup_free_ char *remedy = NULL;

	if (!group) {
		finding_set(finding, VERDICT_WARNING,
			    "systemd-sysusers, then: systemctl restart volume-daemon",
			    "there is no group %s, so only root may use unix sockets of the daemon",
			    name);
	} else if (geteuid() == 0) {
		finding_set(finding, VERDICT_OK, NULL, "root and the group %s may use the sockets",
			    name);
	} else if (is_member(group->gr_gid)) {
		finding_set(finding, VERDICT_OK, NULL, "you are in the group %s", name);
	} else {
		remedy =
			xasprintf("sudo usermod --append --groups %s USER, then log in anew", name);
		finding_set(finding, VERDICT_WARNING, remedy,
			    "you are not in the group %s, whose members may use the sockets", name);
	}
}

void check_groups(const struct doctor *doctor, struct finding *finding)
{
	const char *rest = doctor_detail(doctor, "rest_access");
	const char *nbd = doctor_detail(doctor, "nbd_access");
	_cleanup_free_ char *group = group_in(rest);

	if (!group)
		group = group_in(nbd);
	if (!doctor->health)
		judge_group(USUAL_GROUP, finding);
	else if (group)
		judge_group(group, finding);
	else if (is_root_alone(rest) || is_root_alone(nbd))
		finding_set(
			finding, VERDICT_WARNING,
			"systemd-sysusers, or set http.group to a group that exists; then: systemctl restart volume-daemon",
			"the group of http.group does not exist, so only root may use the sockets");
	else
		finding_set(finding, VERDICT_OK, NULL, "not needed: the daemon has no unix socket");
}
