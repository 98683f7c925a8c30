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
 *
 * polkit's agent may ask a person, who may never answer, and the bus bounds the replies that one
 * connection may wait for. So a user has few open questions, all users together have some, and a
 * question ends with its caller: the caller's name is watched before polkit is asked, and polkit is
 * told of the end, which closes the person's dialogue.
 */

#include <assert.h>
#include <stdio.h>

#include "api/bus/auth.h"

#define CACHE_MAX 128
#define USEC_PER_S UINT64_C(1000000)
#define BUS_TIMEOUT (30 * USEC_PER_S)
/* A person may have to find a password. */
#define POLKIT_TIMEOUT_S 300
#define POLKIT_ALLOW_INTERACTION 1U
#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
/* The bus allows 128 replies; the questions for users need some of them. */
#define QUESTIONS_MAX 64
#define QUESTIONS_PER_USER_MAX 8

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
	TAILQ_HEAD(, auth_check) checks;
	uint64_t questions_made;
};

struct auth_check {
	TAILQ_ENTRY(auth_check) entry;
	struct loop_task task; /* answers on a later turn if everything is known at once */
	struct auth_bus *auth;
	sd_bus_message *m;
	sd_bus_slot *slot;
	bool needs_polkit;
	uid_t uid;             /* once it is known */
	sd_bus_slot *gone;     /* match: the caller has left the bus; if it needs polkit */
	char cancellation[32]; /* polkit's name for the open question, "" if there is none */
	bool may_ask_person;   /* polkit was allowed to */
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

/* The signal says that a name has left the bus. */
static bool has_left(sd_bus_message *m, const char *name)
{
	const char *changed = NULL, *old = NULL, *new = NULL;

	return sd_bus_message_read(m, "sss", &changed, &old, &new) >= 0 && streq(changed, name) &&
	       str_empty(new);
}

static int on_sender_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct known_sender *sender = userdata;

	if (has_left(m, sender->name))
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

static int watch(const struct auth_bus *auth, const char *name, sd_bus_message_handler_t gone,
		 void *arg, sd_bus_slot **out)
{
	_cleanup_free_ char *rule = xasprintf(
		"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
		"interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
		name);

	return sd_bus_add_match_async(auth->bus, out, rule, gone, on_match_installed, arg);
}

static void known_sender_add(struct auth_bus *auth, const char *name, uid_t uid)
{
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
	watch(auth, name, on_sender_gone, sender, &sender->gone);
}

/* Asks the bus about the caller; the check's slot waits for the answer. */
static int ask_bus(struct auth_check *check, const char *member, sd_bus_message_handler_t answer)
{
	sd_bus_message *question = NULL;
	int r = sd_bus_message_new_method_call(check->auth->bus, &question, "org.freedesktop.DBus",
					       "/org/freedesktop/DBus", "org.freedesktop.DBus",
					       member);

	if (r >= 0)
		r = sd_bus_message_append(question, "s", sd_bus_message_get_sender(check->m));
	if (r >= 0)
		r = sd_bus_call_async(check->auth->bus, &check->slot, question, answer, check,
				      BUS_TIMEOUT);
	sd_bus_message_unref(question);
	return r;
}

/* polkit need not answer, and may be gone: it is not started for this. */
static void cancel_question(const struct auth_check *check)
{
	sd_bus_message *m = NULL;

	if (sd_bus_message_new_method_call(check->auth->bus, &m, POLKIT_NAME, POLKIT_PATH,
					   POLKIT_INTERFACE, "CancelCheckAuthorization") >= 0 &&
	    sd_bus_message_append(m, "s", check->cancellation) >= 0 &&
	    sd_bus_message_set_auto_start(m, 0) >= 0 && sd_bus_message_set_expect_reply(m, 0) >= 0)
		sd_bus_send(check->auth->bus, m, NULL);
	sd_bus_message_unref(m);
}

/* Drops the check without an answer. */
void auth_check_cancel(struct auth_check *check)
{
	loop_task_cancel(check->auth->loop, &check->task);
	if (check->cancellation[0])
		cancel_question(check);
	sd_bus_slot_unref(check->slot);
	sd_bus_slot_unref(check->gone);
	sd_bus_message_unref(check->m);
	TAILQ_REMOVE(&check->auth->checks, check, entry);
	free(check);
}

static void check_end(struct auth_check *check, enum method_access granted, const struct err *err)
{
	auth_done_fn done = check->done;
	void *arg = check->arg;
	uid_t uid = check->uid;

	auth_check_cancel(check);
	done(arg, granted, uid, err);
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

/* sd-bus makes this error when its wait is over, and the bus when polkit ends. */
static void refuse_unanswered(struct auth_check *check, const sd_bus_error *error)
{
	_cleanup_free_ char *why = NULL;

	if (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY))
		why = xasprintf("polkit did not answer within %d s, or has ended; last seen: %s",
				POLKIT_TIMEOUT_S,
				check->may_ask_person
					? "it may be asking a person, and the caller still waits"
					: "the caller still waits, and no person is asked");
	else
		why = xasprintf("polkit cannot be asked: %s",
				str_or(error->message, str_or(error->name, "no reason is given")));
	check_refuse(check, ERR_FORBIDDEN, why);
}

static int on_polkit_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct auth_check *check = userdata;
	int authorized = 0, challenge = 0;

	/* If only the wait has timed out, polkit's question is still open, and is cancelled. */
	if (sd_bus_message_is_method_error(m, NULL)) {
		refuse_unanswered(check, sd_bus_message_get_error(m));
		return 0;
	}
	check->cancellation[0] = '\0';
	if (sd_bus_message_enter_container(m, 'r', "bba{ss}") <= 0 ||
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

	return sd_bus_message_append(question, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name",
				     "s", sender, action_names[check->access], 0,
				     check->may_ask_person ? POLKIT_ALLOW_INTERACTION : 0U,
				     check->cancellation);
}

static void check_ask_polkit(struct auth_check *check)
{
	sd_bus_message *question = NULL;
	int r;

	check->may_ask_person = sd_bus_message_get_allow_interactive_authorization(check->m) > 0;
	snprintf(check->cancellation, sizeof(check->cancellation), "volume-daemon-%llu",
		 (unsigned long long)++check->auth->questions_made);
	r = sd_bus_message_new_method_call(check->auth->bus, &question, POLKIT_NAME, POLKIT_PATH,
					   POLKIT_INTERFACE, "CheckAuthorization");
	if (r >= 0)
		r = append_question(question, check);
	if (r >= 0)
		r = sd_bus_call_async(check->auth->bus, &check->slot, question, on_polkit_answer,
				      check, POLKIT_TIMEOUT_S * USEC_PER_S);
	sd_bus_message_unref(question);
	if (r >= 0)
		return;
	check->cancellation[0] = '\0';
	check_refuse(check, ERR_FORBIDDEN, "polkit cannot be asked");
}

static int on_caller_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct auth_check *check = userdata;

	if (has_left(m, sd_bus_message_get_sender(check->m)))
		check_refuse(check, ERR_FORBIDDEN, "the caller has left");
	return 0;
}

/* The bus answers in order: a caller that leaves after this answer is seen by the match. */
static int on_still_there(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct auth_check *check = userdata;

	check->slot = sd_bus_slot_unref(check->slot);
	if (sd_bus_message_is_method_error(m, NULL))
		check_refuse(check, ERR_FORBIDDEN, "the caller has left");
	else
		check_ask_polkit(check);
	return 0;
}

static int check_bounds(const struct auth_check *check, struct err *err)
{
	const struct auth_check *other;
	size_t all = 0, of_user = 0;

	TAILQ_FOREACH(other, &check->auth->checks, entry) {
		all += other->needs_polkit;
		of_user += other->needs_polkit && other->uid == check->uid;
	}
	if (of_user > QUESTIONS_PER_USER_MAX)
		return err_set(err, ERR_TOO_MANY,
			       "%d requests of your user wait for polkit already; answer its "
			       "questions first",
			       QUESTIONS_PER_USER_MAX);
	if (all > QUESTIONS_MAX)
		return err_set(err, ERR_TOO_MANY,
			       "%d requests wait for polkit already; try again later",
			       QUESTIONS_MAX);
	return 0;
}

static void check_with_polkit(struct auth_check *check)
{
	struct err err = { 0 };

	check->needs_polkit = true;
	if (check_bounds(check, &err) < 0)
		check_end(check, ACCESS_READ, &err);
	else if (watch(check->auth, sd_bus_message_get_sender(check->m), on_caller_gone, check,
		       &check->gone) < 0 ||
		 ask_bus(check, "GetNameOwner", on_still_there) < 0)
		check_refuse(check, ERR_FORBIDDEN, "the bus cannot be asked for the caller");
}

static void check_with_uid(struct auth_check *check, uid_t uid)
{
	check->uid = uid;
	if (uid == 0 || uid == geteuid())
		check_end(check, ACCESS_ADMIN, NULL);
	else
		check_with_polkit(check);
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
	if (ask_bus(check, "GetConnectionUnixUser", on_uid) < 0)
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
	TAILQ_INSERT_TAIL(&auth->checks, check, entry);
	loop_task_queue(auth->loop, &check->task);
	return check;
}

struct auth_bus *auth_bus_new(struct loop *loop, sd_bus *bus)
{
	struct auth_bus *auth = xnew(struct auth_bus);

	auth->loop = loop;
	auth->bus = sd_bus_ref(bus);
	TAILQ_INIT(&auth->senders);
	TAILQ_INIT(&auth->checks);
	return auth;
}

struct auth_bus *auth_bus_free(struct auth_bus *auth)
{
	if (!auth)
		return NULL;
	assert(TAILQ_EMPTY(&auth->checks));
	while (!TAILQ_EMPTY(&auth->senders))
		known_sender_forget(TAILQ_FIRST(&auth->senders));
	sd_bus_unref(auth->bus);
	free(auth);
	return NULL;
}
