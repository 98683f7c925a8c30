/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What CloudStack's refusals mean, by the exact texts of its versions. A text is read in the answer
 * to a request and in the result of a failed job alike.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cloud/cloud_error.h"

#define ID "774fd83e-147a-4cc1-a8cc-7aeb50247a3b"
#define UNKNOWN_ENTITY(COMMAND, PARAM)                                                             \
	"Unable to execute API command " COMMAND " due to invalid value. Invalid parameter " PARAM \
	" value=" ID                                                                               \
	" due to incorrect long value format, or entity does not exist or due to incorrect "       \
	"parameter annotation for the field in api cmd class."
#define ACCOUNT "Account [{\"accountName\":\"alice\",\"id\":4,\"uuid\":\"" ID "\"}]"

static const struct cloud_question change = { "attach the volume", CLOUD_REPLY_JOB_ID, true };
static const struct cloud_question creation = { "create the volume", CLOUD_REPLY_JOB_ID, true,
						.creates = true };
static const struct cloud_question look = { "list volumes", CLOUD_REPLY_VOLUMES, false };

static const struct {
	int code;
	const char *text;
	enum err_reason reason;
} meanings[] = {
	/* attach, detach, resize; older and newer versions */
	{ 431,
	  "Unable to attach volume to VM i-2-13-VM/" ID
	  ", please specify a VM that does not have VM snapshots",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 431, "Unable to attach volume, please specify a VM that does not have VM snapshots",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 431,
	  "Unable to attach volume to Instance vm1/" ID
	  ", please specify an Instance that does not have Instance Snapshots",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 431, "Unable to detach volume, please specify a VM that does not have VM snapshots",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 431,
	  "Unable to detach volume, please specify an Instance that does not have Instance Snapshots",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 432, "A volume that is attached to a VM with any VM snapshots cannot be resized.",
	  ERR_REASON_VM_SNAPSHOTS },
	{ 431,
	  "Unable to attach volume, please specify a VM that does not have any backups or set the "
	  "global configuration 'backup.enable.attach.detach.of.volumes' to true.",
	  ERR_REASON_VM_BACKUPS },
	{ 431,
	  "Unable to detach volume, cannot detach volume from a VM that has backups. First remove the "
	  "VM from the backup offering or set the global configuration "
	  "'backup.enable.attach.detach.of.volumes' to true.",
	  ERR_REASON_VM_BACKUPS },
	{ 431,
	  "There is other active volume snapshot tasks on the instance to which the volume is attached, "
	  "please try again later.",
	  ERR_REASON_BUSY },
	{ 431, "There are snapshot operations in progress on the volume, unable to delete it",
	  ERR_REASON_BUSY },
	{ 530, "All device Ids are used by vm 3", ERR_REASON_NO_DEVICE_SLOT },
	{ 530, "All device Ids are used by vm VM instance {\"id\":3,\"uuid\":\"" ID "\"}",
	  ERR_REASON_NO_DEVICE_SLOT },
	{ 431,
	  "The specified VM already has the maximum number of data disks (6) attached. Please specify "
	  "another VM.",
	  ERR_REASON_NO_DEVICE_SLOT },
	{ 431,
	  "The specified VM already has the maximum number of data disks (6). Please specify another "
	  "VM.",
	  ERR_REASON_NO_DEVICE_SLOT },
	{ 530,
	  "Failed to attach volume data to VM web; org.libvirt.LibvirtException: internal error: No "
	  "more available PCI slots",
	  ERR_REASON_NO_DEVICE_SLOT },
	{ 530,
	  "Failed to attach volume data to VM web; org.libvirt.LibvirtException: XML error: target "
	  "'vdb' duplicated for disk sources '/mnt/a/b' and '/mnt/a/c'",
	  ERR_REASON_DISK_REMAINS },
	{ 530,
	  "Failed to attach volume data to VM web; org.libvirt.LibvirtException: operation failed: "
	  "target vdb already exists",
	  ERR_REASON_DISK_REMAINS },
	{ 530,
	  "Failed to attach volume data to VM web; org.libvirt.LibvirtException: internal error: "
	  "unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock",
	  ERR_REASON_DISK_REMAINS },
	{ 535,
	  "Maximum amount of resources of Type = 'primary_storage' for Account Name = alice in Domain "
	  "Id = 2 is exceeded: Account Resource Limit = (200.00 GB) 214748364800, Current Account "
	  "Resource Amount = (4.00 GB) 4294967296, Requested Resource Amount = (300.00 GB) "
	  "322122547200.",
	  ERR_REASON_QUOTA },
	{ 530,
	  "Maximum number of resources of type 'volume' for account name=alice in domain id=2 has "
	  "been exceeded.",
	  ERR_REASON_QUOTA },
	{ 530,
	  "Maximum domain resource limits of Type 'volume' for Domain Id = " ID
	  " is exceeded: Domain Resource Limit = 3",
	  ERR_REASON_QUOTA },
	{ 535, "a text of another version", ERR_REASON_QUOTA },
	{ 431,
	  "Volume [id = " ID ", name = data] has delete protection enabled and cannot be deleted.",
	  ERR_REASON_DELETE_PROTECTION },
	{ 530,
	  "Entity VM instance {id: \"3\", name: \"i-2-3-VM\", uuid: \"" ID
	  "\", type=\"User\"} and entity org.apache.cloudstack.storage.volume.VolumeObject@1a belong "
	  "to different accounts",
	  ERR_REASON_OTHER_ACCOUNT },
	{ 531, ACCOUNT " does not have permission to operate with resource VM instance {id: \"3\"}",
	  ERR_REASON_OTHER_ACCOUNT },
	{ 431, UNKNOWN_ENTITY("createvolume", "diskofferingid"), ERR_REASON_UNKNOWN_OFFERING },
	{ 431, "Please specify a valid disk offering.", ERR_REASON_UNKNOWN_OFFERING },
	{ 431, UNKNOWN_ENTITY("createvolume", "zoneid"), ERR_REASON_UNKNOWN_ZONE },
	{ 431, "Unable to find zone by id 7", ERR_REASON_UNKNOWN_ZONE },
	{ 431, UNKNOWN_ENTITY("createvolume", "projectid"), ERR_REASON_UNKNOWN_PROJECT },
	{ 431, UNKNOWN_ENTITY("attachvolume", "virtualmachineid"), ERR_REASON_UNKNOWN_VM },
	{ 431, "Unable to find UUID for id [16] of type [VirtualMachine]", ERR_REASON_UNKNOWN_VM },
	{ 431, "Please specify a valid User VM.", ERR_REASON_UNKNOWN_VM },

	/* no reason, or none that changes what the client can do */
	{ 431, UNKNOWN_ENTITY("attachvolume", "id"), ERR_REASON_NONE },
	{ 431, "Unable to find UUID for id [65] of type [Volume]", ERR_REASON_NONE },
	{ 431, "Please specify a volume that is not attached to any VM.", ERR_REASON_NONE },
	{ 530, "Failed to attach volume VM snapshots to VM web; device busy", ERR_REASON_NONE },
};

static void a_text_has_its_reason(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		const struct cloud_fault fault = { meanings[i].code, meanings[i].text };
		struct err refused, failed;

		print_message("  %d %s\n", fault.code, fault.text);
		assert_int_equal(cloud_error_answer(&change, &fault, &refused), CLOUD_REFUSED);
		assert_int_equal(refused.reason, meanings[i].reason);
		cloud_error_job(fault.code, fault.text, &failed);
		assert_int_equal(failed.reason, meanings[i].reason);
		assert_int_equal(failed.code, refused.code);
		/* CloudStack's words are kept, except for the end of long ones. */
		assert_true(str_has_prefix(fault.text, refused.cloud_text));
		assert_non_null(strstr(refused.text, refused.cloud_text));
		assert_non_null(strstr(failed.text, failed.cloud_text));
	}
}

static void names_may_be_long(void **state)
{
	_cleanup_free_ char *text = xasprintf(
		"Failed to attach volume %0255d to VM %0100d; internal error: No more available PCI slots",
		1, 2);
	struct err err;

	cloud_error_job(530, text, &err);
	assert_int_equal(err.reason, ERR_REASON_NO_DEVICE_SLOT);
}

static void a_lost_job_has_no_reason(void **state)
{
	struct err err;

	cloud_error_job(503, NULL, &err);
	assert_int_equal(err.reason, ERR_REASON_NONE);
	assert_true(cloud_err_is_lost_job(&err));
}

/* The server stops, or is maintained; the same words have come with both codes. */
static void maintenance_asks_for_patience(void **state)
{
	static const struct cloud_fault faults[] = {
		{ 503,
		  "Maintenance or Shutdown has been initiated on this management server. Can not accept "
		  "new jobs" },
		{ 530,
		  "Maintenance or Shutdown has been initiated on this management server. Can not accept "
		  "new jobs" },
		{ 530, "A shutdown has been triggered. Can not accept new jobs" },
		{ 503, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct err err;

		assert_int_equal(cloud_error_answer(&change, &faults[i], &err), CLOUD_AWAY);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(err.reason, ERR_REASON_MAINTENANCE);
		assert_non_null(strstr(err.text, "takes no new commands at the moment"));
		assert_int_equal(cloud_error_answer(&look, &faults[i], &err), CLOUD_AWAY);
		/* The volume may be there already. */
		assert_int_equal(cloud_error_answer(&creation, &faults[i], &err), CLOUD_UNKNOWN);
		if (!faults[i].text)
			continue;
		cloud_error_job(faults[i].code, faults[i].text, &err);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(err.reason, ERR_REASON_MAINTENANCE);
		assert_non_null(strstr(err.text, "try again"));
	}
}

static void a_forbidden_command_is_named(void **state)
{
	static const struct {
		struct cloud_fault fault;
		const char *says;
	} rows[] = {
		{ { 432,
		    "The API [attachVolume] does not exist or is not available for the account " ACCOUNT
		    "." },
		  "does not allow the command attachVolume, or this server does not know it (code 432)" },
		{ { 432, "The API does not exist or is not available for the account." },
		  "does not allow this command, or" },
		{ { 531, "Expunging a volume can only be done by an Admin. Or when the "
			 "allow.user.expunge.recover.volume key is set." },
		  "only an administrator may expunge volumes there (code 531). Ask an administrator of "
		  "CloudStack to set allow.user.expunge.recover.volume" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct cloud_fault *fault = &rows[i].fault;
		struct err err;

		assert_int_equal(cloud_error_answer(&change, fault, &err), CLOUD_REFUSED);
		assert_int_equal(err.reason, ERR_REASON_FORBIDDEN_COMMAND);
		assert_int_equal(err.code, ERR_CLOUD);
		assert_true(str_has_prefix(err.text, "CloudStack refused to attach the volume: "));
		assert_non_null(strstr(err.text, rows[i].says));
		assert_null(strstr(err.text, "\"id\":4"));
		assert_string_equal(err.cloud_text, fault->text);
		cloud_error_job(fault->code, fault->text, &err);
		assert_int_equal(err.reason, ERR_REASON_FORBIDDEN_COMMAND);
		assert_non_null(strstr(err.text, rows[i].says));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_has_its_reason),
		cmocka_unit_test(names_may_be_long),
		cmocka_unit_test(a_lost_job_has_no_reason),
		cmocka_unit_test(maintenance_asks_for_patience),
		cmocka_unit_test(a_forbidden_command_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
