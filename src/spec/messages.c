/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table behind spec/messages.h. */

#include "spec/messages.h"

const struct message messages[MESSAGE_COUNT] = {
	[MESSAGE_OPERATION_ACCEPTED] = {
		.name = "operation-accepted",
		.id = "ec2c43d8641b40d7a7a9a3ef5cfd5980",
		.subject = "Operation @OPERATION_ID@ was accepted",
		.text = "The request to @OPERATION_TYPE@ is in the store, and the operation goes on also if its client leaves\n"
			"or the daemon restarts. The caller was @ACTOR@.\n"
			"\n"
			"'volumectl operation @OPERATION_ID@' shows its state.",
	},
	[MESSAGE_OPERATION_STEP] = {
		.name = "operation-step",
		.id = "a18ce4ca0a5642dea8b200939733d354",
		.subject = "Operation @OPERATION_ID@ has begun the step @STEP@",
		.text = "After a restart of the daemon the operation goes on with this step.",
	},
	[MESSAGE_OPERATION_COMPLETED] = {
		.name = "operation-completed",
		.id = "1b2969b500d1423a91810caefa440a1d",
		.subject = "Operation @OPERATION_ID@ has completed",
		.text = "The request to @OPERATION_TYPE@ was carried out. Its volume: VOLUME_ID of this entry.",
	},
	[MESSAGE_OPERATION_FAILED] = {
		.name = "operation-failed",
		.id = "899c3755bfe945a3b6076389a2610ed7",
		.subject = "Operation @OPERATION_ID@ has failed",
		.text = "The message tells the reason, and the remedy if there is one. The steps before the failure were undone.",
	},
	[MESSAGE_OPERATION_CANCELLED] = {
		.name = "operation-cancelled",
		.id = "5c0a57e15f7f4380a31157887ac5e02d",
		.subject = "Operation @OPERATION_ID@ was cancelled",
		.text = "A client has asked for it. The steps before were undone.",
	},
	[MESSAGE_OPERATION_ATTENTION] = {
		.name = "operation-needs-attention",
		.id = "7b9e4f93c36d4e6a88182f5a2ab45fd0",
		.subject = "Operation @OPERATION_ID@ needs attention",
		.text = "The operation has ended, and the daemon could not undo all of it, or does not know whether CloudStack\n"
			"carried a request out. The message names the things that may be left.\n"
			"\n"
			"The comparison with CloudStack clears this by itself if it finds nothing left;\n"
			"'volumectl resolve @OPERATION_ID@' clears it by your word.",
	},
	[MESSAGE_DEVICE_APPEARED] = {
		.name = "device-appeared",
		.id = "55c7888a756a4fddb4079cb430b1477a",
		.subject = "The disk @DEVICE@ has appeared",
	},
	[MESSAGE_DEVICE_GONE] = {
		.name = "device-gone",
		.id = "60f28664e88c497a9bc186c0dc01ae07",
		.subject = "The disk @DEVICE@ is gone",
	},
	[MESSAGE_DRIFT_FOUND] = {
		.name = "drift-found",
		.id = "2ef30fa7dc484b6e83c54c167da1f4c4",
		.subject = "Store, CloudStack and kernel disagree about volume @VOLUME_ID@",
		.text = "The message tells the difference, and the repair that was made or that you can make. The same\n"
			"difference is told once while it lasts.",
	},
	[MESSAGE_CONFIG_RELOADED] = {
		.name = "configuration-reloaded",
		.id = "312c714432184609adcc7151eb89df9c",
		.subject = "The configuration was read anew",
		.text = "The message names the keys that have other values now, and those whose new values wait for a restart.",
	},
	[MESSAGE_CONFIG_REFUSED] = {
		.name = "configuration-refused",
		.id = "b7c077bc6bc54160b395947b388e320f",
		.subject = "The configuration was refused",
		.text = "The message names the file, the line and the fault. Nothing has changed. 'volume-daemon --check-config'\n"
			"names the same fault.",
	},
	[MESSAGE_CALL_REFUSED] = {
		.name = "call-refused",
		.id = "b561d01b90ef4c0eaf1d92c1f35f1e98",
		.subject = "A request was refused for lack of rights",
		.text = "The caller was @ACTOR@. Over D-Bus, polkit decides about users other than root; over REST, the kind of\n"
			"socket, the token and http.loopback_access do.",
	},
	[MESSAGE_STORE_AWAY] = {
		.name = "store-away",
		.id = "69013cc25c1947b697fc3d7691ee6bc3",
		.subject = "The store does not take changes",
		.text = "Requests for changes are refused until it is back, and operations that have begun wait. If it is a\n"
			"database, look at the server; if it is a file, at the disk. The message tells the fault.",
	},
	[MESSAGE_STORE_BACK] = {
		.name = "store-back",
		.id = "4039451d101f49ee9021a9a3db3b84d1",
		.subject = "The store takes changes again",
	},
};

void messages_catalog(struct buf *out)
{
	buf_add_text(out, "# The journal's explanations of volume-daemon's messages.\n");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		const struct message *message = &messages[i];

		buf_printf(out,
			   "\n-- %s\nSubject: %s\nDefined-By: volume-daemon\n"
			   "Documentation: man:volume-daemon(8)\n",
			   message->id, message->subject);
		buf_printf(out, "\n%s\n", message->text ? message->text : message->subject);
	}
}
