# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that behaves as programs do that were written for the earlier daemon.

It asks on localhost, gives each call 30 s, repeats no call, and knows one good status for each: exactly 201 where an
operation begins. It polls every 2 s, the first time after 2 s, swallows what goes wrong meanwhile, and ends on three
statuses only. What it reads of an answer it reads by these names.
"""

import http.client
import json
import time

from support.py import openapi

CALL_TIMEOUT = 30
POLL_PAUSE = 2.0
WAIT_TIMEOUT = 300


class CallError(Exception):
    """An answer without the good status: what the client shows to people."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status
        self.error, self.code = body["error"], body["code"]
        self.details = body.get("details")


class VolumeClient:
    def __init__(self, port, poll_pause=0.2):
        """The pause is shorter where the client's own is not the point."""
        self.port, self.poll_pause = port, poll_pause

    def call(self, method, path, body=None):
        """Status and answer of one call, on a connection of its own."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=CALL_TIMEOUT)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            response = connection.getresponse()
            answer = response.read()
            openapi.check_reply(method, path, response.status, response.headers, answer)
            return response.status, json.loads(answer)
        finally:
            connection.close()

    def _good(self, statuses, method, path, body=None):
        status, answer = self.call(method, path, body)
        if status not in statuses:
            raise CallError(status, answer)
        return answer

    # -- operations: exactly 201

    def _begin(self, method, path, body=None):
        return self._good((201,), method, path, body)["id"]

    def create_volume(self, name, size, offering, zone):
        return self._begin("POST", "/api/v1/volumes", {"name": name, "size": size, "disk_offering_id": offering,
                                                       "zone_id": zone, "metadata": {"purpose": "migration"}})

    def attach_volume(self, volume, vm, **context):
        """With the volume's id in the body, too, as the programs send it."""
        return self._begin("POST", f"/api/v1/volumes/{volume}/attach", {"volume_id": volume, "vm_id": vm, **context})

    def attach_volume_as_root(self, volume, vm):
        return self._begin("POST", f"/api/v1/volumes/{volume}/attach-root", {"volume_id": volume, "vm_id": vm})

    def detach_volume(self, volume):
        return self._begin("POST", f"/api/v1/volumes/{volume}/detach")

    def delete_volume(self, volume):
        return self._begin("DELETE", f"/api/v1/volumes/{volume}")

    def cleanup_test_failover(self, volume, test_vm, appliance):
        return self._begin("POST", "/api/v1/cleanup/test-failover", {
            "test_vm_id": test_vm, "volume_id": volume, "oma_vm_id": appliance, "delete_vm": True,
            "force_clean": False})

    def get_operation(self, operation):
        return self._good((200,), "GET", f"/api/v1/operations/{operation}")

    def wait_for_completion(self, operation, timeout=WAIT_TIMEOUT):
        """The response of the operation."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            time.sleep(self.poll_pause)
            try:
                record = self.get_operation(operation)
            except (OSError, http.client.HTTPException, CallError):
                continue
            if record["status"] == "completed":
                return record["response"]
            if record["status"] in ("failed", "cancelled"):
                raise AssertionError(f"operation {operation} {record['status']}: {record['error']}")
        raise AssertionError(f"operation {operation} has not ended in {timeout} s")

    def completed(self, begin, *arguments):
        return self.wait_for_completion(begin(*arguments))

    # -- questions

    def get_volume_device(self, volume):
        return self._good((200,), "GET", f"/api/v1/volumes/{volume}/device")

    def list_volumes(self, vm):
        status, answer = self.call("GET", f"/api/v1/vms/{vm}/volumes")
        if status == 404:
            return []
        if status != 200:
            raise CallError(status, answer)
        assert isinstance(answer, list)
        return answer

    def health_check(self):
        self._good((200,), "GET", "/health")

    # -- exports

    def create_nbd_export(self, volume, vm_name, vm, disk_number):
        return self._good((200, 201), "POST", "/api/v1/exports", {
            "volume_id": volume, "vm_name": vm_name, "vm_id": vm, "disk_number": disk_number})

    def delete_nbd_export(self, volume):
        self._good((200, 204), "DELETE", f"/api/v1/exports/{volume}")

    def get_nbd_export(self, volume):
        status, answer = self.call("GET", f"/api/v1/exports/{volume}")
        if status == 404:
            return None
        if status != 200:
            raise CallError(status, answer)
        return answer

    # -- snapshots of several volumes of a VM: any 2xx will do

    def track_snapshot(self, volume, context, snapshot):
        return self._good(range(200, 300), "POST", "/api/v1/snapshots/track", {
            "volume_uuid": volume, "vm_context_id": context, "snapshot_id": snapshot, "snapshot_name": "before-test",
            "disk_id": "disk-2000"})

    def snapshots(self, context):
        return self._good((200,), "GET", f"/api/v1/snapshots/vm/{context}")

    def update_snapshot(self, volume, status):
        self._good(range(200, 300), "PUT", f"/api/v1/snapshots/{volume}", {"snapshot_status": status})

    def clear_snapshots(self, context):
        return self._good((200,), "DELETE", f"/api/v1/snapshots/vm/{context}")
