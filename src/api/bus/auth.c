/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A check learns the uid behind the sender's bus name, lets root and the daemon's own user in, and
 * asks polkit about every other user. Both questions are asynchronous calls on the same connection,
 * held in the check's one slot; dropping the slot cancels the check.
 *
 * The bus never gives a unique name to a second connection while the bus lives, so a uid once
 * learned stays true; the cache keeps it until the name leaves the bus. The cache is small, and a
 * full cache drops its oldest entry first.
 *
 * Root comes before polkit on purpose: if polkit is not installed, the call to polkit fails for
 * every user.
 */

#include <assert.h>

#include "api/bus/auth.h"

#define CACHE_MAX 128
#define USEC_PER_S UINT64_C(1000000)
#define UID_TIMEOUT (30 * USEC_PER_S)
/* A person may have to find a password. */
#define POLKIT_TIMEOUT (300 * USEC_PER_S)
#define POLKIT_ALLOW_INTERACTION 1U

struct known_sender {
	TAILQ_ENTRY(known_sender) entry;
	struct auth_bus *auth;
	char *name;
	uid_t uid;
	sd_bus_slot *gone; /* match: the name has left the bus */
};

struct auth_bus {
	struct loop *loop;
	sd_bus *bus;
	TAILQ_HEAD(, known_sender) senders; /* oldest first */
	size_t sender_count;
	size_t check_count;
};

struct auth_check {
	struct loop_task task; /* answers on a later turn if everything is known at once */
	struct auth_bus *auth;
	sd_bus_message *m;
	sd_bus_slot *slot;
	enum method_access access;
	auth_done_fn done;
	void *arg;
};

static const char *const action_names[] = {
	[ACCESS_READ] = AUTH_ACTION_PREFIX "read",
	[ACCESS_CHANGE] = AUTH_ACTION_PREFIX "change",
	[ACCESS_ADMIN] = AUTH_ACTION_PREFIX "admin",
};

static void known_sender_forget(struct known_sender *sender)
{
	TAILQ_REMOVE(&sender->auth->senders, sender, entry);
	sender->auth->sender_count--;
	sd_bus_slot_unref(sender->gone);
	free(sender->name);
	free(sender);
}

static int on_sender_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct known_sender *sender = userdata;
	const char *name = NULL, *old = NULL, *new = NULL;

	if (sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 && streq(name, sender->name) &&
	    str_empty(new))
		known_sender_forget(sender);
	return 0;
}

static struct known_sender *known_sender_find(struct auth_bus *auth, const char *name)
{
	struct known_sender *sender;

	TAILQ_FOREACH(sender, &auth->senders, entry) {
		if (streq(sender->name, name))
			return sender;
	}
	return NULL;
}

static int on_match_installed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	/*
	 * Without the match the entry stays only until it is the oldest. sd-bus would end the
	 * connection instead.
	 */
	return 0;
}

static void known_sender_add(struct auth_bus *auth, const char *name, uid_t uid)
{
	_cleanup_free_ char *rule = NULL;
	struct known_sender *sender;

	if (known_sender_find(auth, name))
		return;
	if (auth->sender_count >= CACHE_MAX)
		known_sender_forget(TAILQ_FIRST(&auth->senders));
	sender = xnew(struct known_sender);
	sender->auth = auth;
	sender->name = xstrdup(name);
	sender->uid = uid;
	TAILQ_INSERT_TAIL(&auth->senders, sender, entry);
	auth->sender_count++;
	rule = xasprintf("type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
			 "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
			 name);
	sd_bus_add_match_async(auth->bus, &sender->gone, rule, on_sender_gone, on_match_installed,
			       sender);
}

/* Drops the check without an answer. */
void auth_check_cancel(struct auth_check *check)
{
	loop_task_cancel(check->auth->loop, &check->task);
	sd_bus_slot_unref(check->slot);
	sd_bus_message_unref(check->m);
	check->auth->check_count--;
	free(check);
}

static void check_end(struct auth_check *check, enum method_access granted, const struct err *err)
{
	auth_done_fn done = check->done;
	void *arg = check->arg;

	auth_check_cancel(check);
	done(arg, granted, err);
}

static void check_refuse(struct auth_check *check, enum err_code code, const char *why)
{
	static const char *const verbs[] = {
		[ACCESS_READ] = "reading",
		[ACCESS_CHANGE] = "changing volumes",
		[ACCESS_ADMIN] = "administration",
	};
	struct err err = { 0 };

	err_set(&err, code, "%s needs root or a permission for %s: %s", verbs[check->access],
		action_names[check->access], why);
	check_end(check, ACCESS_READ, &err);
}

static int on_polkit_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct auth_check *check = userdata;
	int authorized = 0, challenge = 0;

	if (sd_bus_message_is_method_error(m, NULL))
		check_refuse(check, ERR_FORBIDDEN, "polkit did not answer");
	else if (sd_bus_message_enter_container(m, 'r', "bba{ss}") <= 0 ||
		 sd_bus_message_read(m, "bb", &authorized, &challenge) < 0)
		check_refuse(check, ERR_FORBIDDEN, "polkit's answer cannot be read");
	else if (authorized)
		check_end(check, check->access, NULL);
	else if (challenge)
		check_refuse(check, ERR_UNAUTHORIZED,
			     "ask again and allow interactive authorisation");
	else
		check_refuse(check, ERR_FORBIDDEN, "polkit refuses");
	return 0;
}

/* ((sa{sv}) subject, s action, a{ss} details, u flags, s cancellation id) */
static int append_question(sd_bus_message *question, const struct auth_check *check)
{
	const char *sender = sd_bus_message_get_sender(check->m);
	bool interactive = sd_bus_message_get_allow_interactive_authorization(check->m) > 0;

	return sd_bus_message_append(question, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name",
				     "s", sender, action_names[check->access], 0,
				     interactive ? POLKIT_ALLOW_INTERACTION : 0U, "");
}

static void check_ask_polkit(struct auth_check *check)
{
	sd_bus_message *question = NULL;
	int r;

	r = sd_bus_message_new_method_call(check->auth->bus, &question,
					   "org.freedesktop.PolicyKit1",
					   "/org/freedesktop/PolicyKit1/Authority",
					   "org.freedesktop.PolicyKit1.Authority",
					   "CheckAuthorization");
	if (r >= 0)
		r = append_question(question, check);
	if (r >= 0)
		r = sd_bus_call_async(check->auth->bus, &check->slot, question, on_polkit_answer,
				      check, POLKIT_TIMEOUT);
	sd_bus_message_unref(question);
	if (r < 0)
		check_refuse(check, ERR_FORBIDDEN, "polkit cannot be asked");
}

static void check_with_uid(struct auth_check *check, uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		check_end(check, ACCESS_ADMIN, NULL);
	else
		check_ask_polkit(check);
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct auth_check *check = userdata;
	uint32_t uid = 0;

	check->slot = sd_bus_slot_unref(check->slot);
	/* Most often the sender has left already; then no client reads the answer. */
	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0) {
		check_refuse(check, ERR_FORBIDDEN, "the bus does not name the sender's user");
		return 0;
	}
	known_sender_add(check->auth, sd_bus_message_get_sender(check->m), uid);
	check_with_uid(check, uid);
	return 0;
}

static void check_ask_uid(struct auth_check *check)
{
	sd_bus_message *question = NULL;
	int r;

	r = sd_bus_message_new_method_call(check->auth->bus, &question, "org.freedesktop.DBus",
					   "/org/freedesktop/DBus", "org.freedesktop.DBus",
					   "GetConnectionUnixUser");
	if (r >= 0)
		r = sd_bus_message_append(question, "s", sd_bus_message_get_sender(check->m));
	if (r >= 0)
		r = sd_bus_call_async(check->auth->bus, &check->slot, question, on_uid, check,
				      UID_TIMEOUT);
	sd_bus_message_unref(question);
	if (r < 0)
		check_refuse(check, ERR_FORBIDDEN, "the bus cannot be asked for the sender's user");
}

static void on_task(struct loop_task *task)
{
	struct auth_check *check = container_of(task, struct auth_check, task);
	const char *name = sd_bus_message_get_sender(check->m);
	struct known_sender *sender = name ? known_sender_find(check->auth, name) : NULL;

	if (!name)
		check_refuse(check, ERR_FORBIDDEN, "the message has no sender");
	else if (sender)
		check_with_uid(check, sender->uid);
	else
		check_ask_uid(check);
}

struct auth_check *auth_check_start(struct auth_bus *auth, sd_bus_message *m,
				    enum method_access access, auth_done_fn done, void *arg)
{
	struct auth_check *check = xnew(struct auth_check);

	check->auth = auth;
	check->m = sd_bus_message_ref(m);
	check->access = access;
	check->done = done;
	check->arg = arg;
	check->task.run = on_task;
	auth->check_count++;
	loop_task_queue(auth->loop, &check->task);
	return check;
}

struct auth_bus *auth_bus_new(struct loop *loop, sd_bus *bus)
{
	struct auth_bus *auth = xnew(struct auth_bus);

	auth->loop = loop;
	auth->bus = sd_bus_ref(bus);
	TAILQ_INIT(&auth->senders);
	return auth;
}

struct auth_bus *auth_bus_free(struct auth_bus *auth)
{
	if (!auth)
		return NULL;
	assert(auth->check_count == 0);
	while (!TAILQ_EMPTY(&auth->senders))
		known_sender_forget(TAILQ_FIRST(&auth->senders));
	sd_bus_unref(auth->bus);
	free(auth);
	return NULL;
}
