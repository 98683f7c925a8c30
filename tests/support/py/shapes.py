# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers as the contract has them.

A shape lists the members an object always has, those it may have, and those that were added to the
contract's; a member on none of the lists is a mistake, be it in the daemon or here. The lists are
written down by hand on purpose: taken from the daemon they would agree with anything it does.
"""

import re
from dataclasses import dataclass, field

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def text(value):
    return isinstance(value, str)


def truth(value):
    return isinstance(value, bool)


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def progress(value):
    return not isinstance(value, bool) and (value == -1 or 0 <= value <= 1)


def table(value):
    return isinstance(value, dict)


def rows(value):
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def texts(value):
    return isinstance(value, list) and all(isinstance(row, str) for row in value)


def matching(pattern):
    expression = re.compile(pattern)
    return lambda value: isinstance(value, str) and expression.fullmatch(value) is not None


def one_of(*words):
    return lambda value: value in words


uuid = matching(_UUID)
no_or_uuid = matching(f"(?:{_UUID})?")
time = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
operation_id = matching("op-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass
class Shape:
    name: str
    always: dict
    sometimes: dict = field(default_factory=dict)
    added: dict = field(default_factory=dict)   # not in the contract, which allows more
    parts: dict = field(default_factory=dict)   # member -> shape of what is inside

    def check(self, record):
        """Assert that a record has this shape, and return it."""
        members = self.always | self.sometimes | self.added
        assert isinstance(record, dict), f"{self.name}: {record!r}"
        assert not self.always.keys() - record.keys(), \
            f"{self.name} lacks {sorted(self.always.keys() - record.keys())}: {record}"
        assert not record.keys() - members.keys(), \
            f"{self.name} has unknown {sorted(record.keys() - members.keys())}"
        for name, value in record.items():
            assert members[name](value), f"{self.name}.{name} must not be {value!r}"
        for name, part in self.parts.items():
            if name in record:
                part.check(record[name])
        return record

    def check_all(self, records):
        for record in records:
            self.check(record)
        return records


OPERATION_TYPES = ("create", "attach", "detach", "delete", "resize", "cleanup", "snapshot", "revert",
                   "delete-snapshot")
STATUSES = ("pending", "executing", "completed", "failed", "cancelled")
REASONS = ("in_use", "disk_remains", "maintenance", "busy", "vm_snapshots", "vm_backups",
           "vm_running", "no_device_slot", "quota", "delete_protection", "forbidden_command", "other_account", "unknown_offering",
           "unknown_zone", "unknown_project", "unknown_vm")

CALLER = Shape("caller", {"surface": one_of("rest", "bus", "daemon")},
               {"uid": whole, "user": text, "token": text, "bus_name": matching(r":[\d.]+"), "address": text})

TOKEN = Shape("token", {"name": text, "scope": one_of("read", "change", "admin"), "created_at": time},
              {"caller": table}, parts={"caller": CALLER})
NEW_TOKEN = Shape("new token", TOKEN.always | {"token": matching("vold_[0-9a-f]{64}")}, {"caller": table},
                  parts={"caller": CALLER})

OPERATION = Shape(
    "operation",
    always={"id": operation_id, "type": one_of(*OPERATION_TYPES), "status": one_of(*STATUSES),
            "volume_id": no_or_uuid, "created_at": time, "updated_at": time},
    sometimes={"vm_id": uuid, "request": table, "response": table, "error": text,
               "error_code": text, "step": text, "needs_attention": truth, "completed_at": time,
               "waits_for": text},
    added={"step_since": time, "request_id": text, "error_reason": one_of(*REASONS), "caller": table,
           "time_spent": table, "started_at": time, "progress": progress, "expected_end": time},
    parts={"caller": CALLER})

TRANSITION = Shape(
    "transition",
    {"previous_status": one_of("", *STATUSES), "new_status": one_of(*STATUSES), "changed_at": time},
    {"details": table, "step": text, "caller": table, "asked_by": text},
    parts={"caller": CALLER})

RESPONSES = {
    "create": Shape("response of create", {"volume_id": uuid, "message": text},
                    added={"name": text, "size": whole}),
    "attach": Shape("response of attach",
                    {"volume_id": uuid, "vm_id": uuid, "device_path": text, "by_id_path": text,
                     "persistent_device_name": text, "symlink_path": text, "size": whole,
                     "message": text},
                    {"filesystem": text, "label": text, "filesystem_uuid": text,
                     "partition_table": text},
                    added={"matched_by": text, "export_status": one_of("active", "pending"),
                           "export_error": text}),
    "attach-root": Shape("response of attach-root",
                         {"volume_id": uuid, "vm_id": uuid, "device_path": text, "device_id": whole,
                          "size": whole, "message": text}),
    "detach": Shape("response of detach",
                    {"volume_id": uuid, "device_path": text, "message": text}),
    "delete": Shape("response of delete", {"volume_id": uuid, "message": text}),
    "cleanup": Shape("response of cleanup",
                     {"test_vm_id": uuid, "volume_id": uuid, "oma_vm_id": uuid,
                      "device_path": text, "vm_deleted": truth, "message": text},
                     added={"export_status": one_of("active", "pending")}),
    "snapshot": Shape("response of snapshot",
                      {"volume_id": uuid, "snapshot_id": uuid, "name": text, "message": text}),
    "revert": Shape("response of revert",
                    {"volume_id": uuid, "snapshot_id": uuid, "size": whole, "message": text}),
    "delete-snapshot": Shape("response of delete-snapshot",
                             {"volume_id": uuid, "snapshot_id": uuid, "message": text}),
    "resize": Shape("response of resize",
                    {"volume_id": uuid, "size": whole, "previous_size": whole,
                     "device_path": text, "message": text},
                    added={"export_size": whole}),
}

VOLUME = Shape(
    "volume",
    always={"volume_id": uuid, "state": text, "size": whole, "type": one_of("DATADISK", "ROOT"),
            "cloudstack_data": table, "linux_data": table},
    sometimes={"vm_id": uuid, "device_path": text, "last_operation": table, "attached_at": time},
    added={"name": text, "zone_id": uuid, "linux_state": one_of("detected", "gone", "n/a")},
    parts={"last_operation": Shape(
        "last_operation", {"id": operation_id, "type": one_of(*OPERATION_TYPES),
                           "status": one_of(*STATUSES)})})

MAPPING = Shape(
    "mapping",
    always={"id": text, "volume_id": uuid, "volume_uuid": uuid, "vm_id": uuid,
            "device_path": text, "cloudstack_device_id": whole, "cloudstack_state": text,
            "linux_state": one_of("detected", "gone", "n/a"), "size": whole,
            "matched_by": one_of("none", "identity", "size"),
            "operation_mode": one_of("oma", "failover"), "last_sync": time, "attached_at": time,
            "created_at": time, "updated_at": time},
    sometimes={"by_id_path": text, "persistent_device_name": text, "symlink_path": text},
    added={"filesystem": text, "label": text, "filesystem_uuid": text, "partition_table": text})

DEVICE = Shape(
    "device",
    always={"device_path": text, "bus": text, "size": whole, "diskseq": whole, "read_only": truth},
    sometimes={"serial": text, "volume_id": uuid, "persistent_device_name": text, "symlink_path": text})

HEALTH = Shape(
    "health",
    always={"status": one_of("healthy", "degraded", "unhealthy"), "timestamp": time,
            "cloudstack_health": text, "database_health": text, "device_monitor": text,
            "details": table},
    added={"nbd_health": text},
    parts={"details": Shape(
        "details of health",
        {"implementation_status": text, "polling_interval": text, "active_operations": whole,
         "device_count": whole},
        added={"active_mappings": whole, "known_volumes": whole, "cloudstack_api_calls": whole,
               "volume_list_age_seconds": whole, "volumes_left_out": text, "volumes_lost": text,
               "cloudstack_throttled": truth, "cloudstack_throttled_count": whole,
               "cloudstack_clock_ahead_ms": whole, "clock": text, "cloudstack_reads": table, "device_events_processed": whole, "database_transactions": whole,
               "store_waiting": whole, "loop_turns": whole, "loop_late_count": whole, "loop_late": text,
               "uptime_seconds": whole,
               "accepting_changes": truth, "paused": text, "store_state": one_of("checking", "current", "past"), "uevents": truth, "appliance_id": text,
               "stable_names": truth, "stable_names_health": text, "exports": whole, "nbd_engine": text, "nbd_pid": whole,
               "nbd_restarts": whole, "rest_access": text, "rest_certificate": text, "nbd_access": text})})

NUMBERS = {"cloudstack_api_calls": whole, "device_events_processed": whole, "database_transactions": whole,
           "loop_turns": whole, "uptime_seconds": whole}
METRICS = Shape(
    "metrics",
    {"timestamp": time, "total_operations": whole, "pending_operations": whole, "active_mappings": whole,
     "operations_by_type": table, "operations_by_status": table, "average_response_time_ms": whole,
     "error_rate_percent": whole, "details": table},
    parts={"operations_by_type": Shape("operations by type", {word: whole for word in OPERATION_TYPES}),
           "operations_by_status": Shape("operations by status", {word: whole for word in STATUSES}),
           "details": Shape("details of metrics", NUMBERS)})

# The clients are asked of the server: they are in answers, not among an object's properties.
EXPORT = Shape(
    "export",
    always={"id": text, "volume_id": uuid, "export_name": matching(f"migration-vol-{_UUID}"),
            "device_path": text, "port": whole, "status": one_of("pending", "active", "failed"),
            "created_at": time, "updated_at": time, "metadata": table},
    sometimes={"clients": table},
    added={"read_only": truth, "size": whole, "vm_name": text, "vm_id": text, "disk_number": whole,
           "error": text, "uri": matching(f"nbds?(\\+unix)?://[^ ]*/migration-vol-{_UUID}(\\?socket=/.+)?")},
    parts={"clients": Shape("clients of export", {}, added={"addresses": texts, "certain": truth})})

VOLUME_SNAPSHOT = Shape("snapshot of a volume",
                        {"id": uuid, "volume_id": uuid, "name": text, "state": text, "size": whole,
                         "revertable": truth}, {"created_at": time})

USER = Shape("user of a volume", {"device_path": text, "use": text, "is_system": truth})

OFFERING = Shape("offering", {"id": uuid, "name": text, "size": whole},
                 {"description": text, "storage_type": text, "zone_ids": text})
ZONE = Shape("zone", {"id": uuid, "name": text}, {"network_type": text, "allocation_state": text})
VM = Shape("VM", {"id": uuid, "name": text, "state": text, "is_appliance": truth},
           {"display_name": text, "zone_id": uuid})

RIGHT = Shape("right", {"name": text, "kind": one_of("command", "project"), "for_checks": truth, "needed_to": text,
                        "allowed": one_of("yes", "no", "unneeded", "unknown")}, {"text": text})

STORE_PLAN = Shape("plan of a store", {"state": one_of("checking", "current", "past"), "report": table},
                   sometimes={"reason": text})

MESSAGE = Shape("message", {"message": text})

SNAPSHOT = Shape(
    "tracked snapshot",
    {"volume_uuid": uuid, "vm_context_id": text, "device_path": text, "operation_mode": one_of("oma", "failover", ""),
     "snapshot_status": text},
    {"snapshot_id": text, "snapshot_created_at": time},
    added={"id": uuid, "snapshot_name": text, "disk_id": text, "updated_at": time})
TRACKED = Shape("snapshot that is kept", {"message": text, "volume_uuid": uuid, "snapshot_id": text,
                                          "vm_context_id": text})
UPDATED = Shape("snapshot that was changed", {"message": text, "volume_uuid": uuid})
UNTRACKED = Shape("snapshots that are forgotten", {"message": text, "vm_context_id": text,
                                                   "snapshots_cleared": whole})

DIFFERENCE = Shape("difference", {
    "export_name": text, "volume_id": no_or_uuid, "found": text,
    "kind": one_of("not-served", "device-differs", "mode-differs", "not-attached", "device-gone",
                   "size-differs", "foreign", "not-noted")})
ORPHAN = Shape("orphan", {"export_name": text, "volume_id": uuid}, {"error": text})

# The findings of a look at the exports, and the repairs if it was more than a look.
VALIDATION = Shape("validation", {"message": text, "timestamp": time, "report": table},
                   parts={"report": Shape("report", {"checked": whole, "differences": rows})})
CLEANUP = Shape("cleanup", {"message": text, "timestamp": time, "report": table},
                parts={"report": Shape("report", {
                    "checked": whole, "dry_run": truth, "orphaned": rows, "removed": rows,
                    "failed": rows})})
ORPHANS = Shape("orphans", {"orphaned_exports_count": whole, "timestamp": time})

BACKUP = Shape("backup", {"message": text, "bytes": whole, "schema_version": whole, "timestamp": time},
               {"newest_operation": text})

STORE_CHECK = Shape("store check", {"message": text, "rows": whole, "faults": whole, "timestamp": time,
                                    "report": table})

DRIFT_KINDS = ("attached-outside", "detached-outside", "deleted-outside", "moved", "device-renamed",
               "device-missing", "device-unexpected", "size-changed", "operation-lost",
               "not-taken-back", "orphan", "volume-lost", "not-renamed")

DRIFT = Shape("drift", {"kind": one_of(*DRIFT_KINDS), "volume_id": uuid, "found": text,
                        "action": text, "repaired": truth},
              {"vm_id": uuid, "device_path": text, "operation_id": operation_id})

RELOAD = Shape("reload", {"message": text, "timestamp": time, "report": table},
               parts={"report": Shape("report", {"changed": texts, "needs_restart": texts})})
SYNC = Shape("sync", {"message": text, "timestamp": time, "report": table},
             parts={"report": Shape("report", {"checked": whole, "dry_run": truth, "drift": rows,
                                               "repaired": rows, "failed": rows})})

ERROR = Shape("error", {"error": text, "code": text}, {"details": table},
              parts={"details": Shape("details of error", {}, {
                  "field": text, "reason": one_of(*REASONS), "cloudstack_error_code": whole, "cloudstack_message": text})})

# REST's word, HTTP's status, the end of D-Bus's name. Where a word stands twice D-Bus is finer.
ERRORS = (
    ("INVALID_REQUEST", 400, "InvalidRequest"),
    ("UNAUTHORIZED", 401, "Unauthorized"),
    ("FORBIDDEN", 403, "Forbidden"),
    ("NOT_FOUND", 404, "NotFound"),
    ("CONFLICT", 409, "Conflict"),
    ("CONFLICT", 409, "Cancelled"),
    ("TOO_LARGE", 413, "TooLarge"),
    ("UNSUPPORTED_MEDIA_TYPE", 415, "UnsupportedMediaType"),
    ("MISDIRECTED", 421, "Misdirected"),
    ("TOO_MANY_REQUESTS", 429, "TooManyRequests"),
    ("CLOUDSTACK_ERROR", 422, "CloudStackError"),
    ("INTERNAL_ERROR", 500, "InternalError"),
    ("SERVICE_UNAVAILABLE", 503, "ServiceUnavailable"),
    ("TIMEOUT", 504, "Timeout"),
)
STATUS_OF = {word: status for word, status, _ in ERRORS}
WORD_OF_BUS_NAME = {name: word for word, _, name in ERRORS}


def check_sync(answer):
    """A comparison's report: each drift is either repaired or failed."""
    report = SYNC.check(answer)["report"]
    DRIFT.check_all(report["drift"])
    assert all(d["repaired"] for d in report["repaired"])
    assert not any(d["repaired"] for d in report["failed"])
    assert len(report["repaired"]) + len(report["failed"]) == len(report["drift"])
    return report


def check_validation(answer):
    """The differences between exports, server and devices."""
    return DIFFERENCE.check_all(VALIDATION.check(answer)["report"]["differences"])


def check_cleanup(answer):
    """A report on orphaned exports; nothing is removed by looking."""
    report = CLEANUP.check(answer)["report"]
    for found in ("orphaned", "removed", "failed"):
        ORPHAN.check_all(report[found])
    assert not report["dry_run"] or report["removed"] == report["failed"] == []
    return report


def check_ended(record):
    """An operation that has ended holds what its status promises."""
    OPERATION.check(record)
    assert record.keys() >= {"completed_at", "step"}, record
    if record["status"] == "completed":
        as_root = record.get("request", {}).get("attach_as") == "root"
        RESPONSES["attach-root" if as_root else record["type"]].check(record["response"])
        assert record["response"]["volume_id"] == record["volume_id"]
        assert not record.keys() & {"error", "error_code", "error_reason"}, record
    else:
        assert record["error"] and record["error_code"] in STATUS_OF.keys() | WORD_OF_BUS_NAME.keys(), record
        assert "response" not in record
    return record
