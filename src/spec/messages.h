/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kinds of messages that the log tells apart: each has an id, by which systemd's journal finds
 * its entries (MESSAGE_ID) and their explanation (journalctl --catalog). The catalog file is made
 * from this table.
 */

#include "base/buf.h"

enum message_kind {
	MESSAGE_OPERATION_ACCEPTED,
	MESSAGE_OPERATION_STEP,
	MESSAGE_OPERATION_COMPLETED,
	MESSAGE_OPERATION_FAILED,
	MESSAGE_OPERATION_CANCELLED,
	MESSAGE_OPERATION_ATTENTION,
	MESSAGE_DEVICE_APPEARED,
	MESSAGE_DEVICE_GONE,
	MESSAGE_DRIFT_FOUND,
	MESSAGE_CONFIG_RELOADED,
	MESSAGE_CONFIG_REFUSED,
	MESSAGE_CALL_REFUSED,
	MESSAGE_STORE_AWAY,
	MESSAGE_STORE_BACK,
	MESSAGE_COUNT
};

struct message {
	const char *name;    /* "operation-accepted" */
	const char *id;      /* 32 hex digits, which never change */
	const char *subject; /* @FIELD@ stands for a field that every entry of this kind has */
	const char *text; /* likewise, lines with \n between them; NULL: the subject says it all */
};

extern const struct message messages[MESSAGE_COUNT];

/* The file for systemd's catalog. */
void messages_catalog(struct buf *out);
