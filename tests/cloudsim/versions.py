# SPDX-License-Identifier: LGPL-2.1-or-later
"""What versions of the server do differently.

4.18 was watched: `observed/` has the recordings. 4.23 was read from its source. Both are true, each
of its version, and a client has to accept both.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    number: str
    repeated_job: int           # the code that refuses a customjobid which was used before
    restart_removes: bool       # with its lost jobs the server loses their volumes
    removed_are_unknown: bool   # a removed row's id is refused before the command looks at it
    job_code_is_530: bool       # whatever made a job fail; else the code of the refusal
    newest_job: bool            # queryAsyncJobResult finds a job by its volume
    later_fields: bool          # of volumes (deleteprotection) and jobs (the server's name)
    texts: dict                 # where the words differ

    def text(self, name, **values):
        return self.texts[name].format(**values)


V4_18 = Version(
    number="4.18.0.0-SNAPSHOT", repeated_job=530, restart_removes=True, removed_are_unknown=True,
    job_code_is_530=True, newest_job=False, later_fields=False, texts={
        "control":
            "Received value containing illegal ASCII non-printable characters for parameter {key}",
        "no new jobs": "A shutdown has been triggered. Can not accept new jobs",
        "no offering":
            "At least one of disk Offering ID or snapshot ID must be passed whilst creating volume",
        "size range":
            "Volume size: {gib}GB is out of allowed range. Max: {most} Min:{least}",
        "device used": "deviceId {deviceid} is used by vm {number}",
        "attached meanwhile": "This volume is already attached to a VM.",
        "attach to snapshots":
            "Unable to attach volume to VM {vm}, please specify a VM that does not have VM "
            "snapshots",
        "detach from snapshots":
            "Unable to detach volume, please specify a VM that does not have VM snapshots",
        "shrink":
            "Going from existing size of {before} to size of {after} would shrink the volume."
            "Need to sign off by supplying the shrinkok parameter with value of true.",
        "snapshot not ready":
            "VolumeId: {number} is not in Ready state but {state}. Cannot take snapshot.",
        "revert not stopped":
            "The VM the specified disk is attached to is not in the shutdown state.",
    })

V4_23 = Version(
    number="4.23.0.0", repeated_job=431, restart_removes=False, removed_are_unknown=False,
    job_code_is_530=False, newest_job=True, later_fields=True, texts={
        "control":
            "Received value {value} for parameter {key} is invalid, contains illegal ASCII "
            "non-printable characters",
        "no new jobs":
            "Maintenance or Shutdown has been initiated on this management server. Can not accept "
            "new jobs",
        "no offering":
            "Either disk Offering Id or snapshot Id must be passed whilst creating volume",
        "size range":
            "Volume size: {gib}GB is out of allowed range. Min: {least}. Max: {most}",
        "device used": "deviceId {deviceid} is used by vol {volume} on vm {machine}",
        "attached meanwhile": "volume: {volume} is already attached to a VM: {machine}",
        "attach to snapshots":
            "Unable to attach volume to Instance {vm}, please specify an Instance that does not "
            "have Instance Snapshots",
        "detach from snapshots":
            "Unable to detach volume, please specify an Instance that does not have Instance "
            "Snapshots",
        "shrink":
            "Going from existing size of {before} to size of {after} would shrink the volume. "
            "Need to sign off by supplying the shrinkok parameter with value of true.",
        "snapshot not ready":
            "Volume: {volume} is not in Ready state but {state}. Cannot take snapshot.",
        "revert not stopped":
            "The Instance the specified disk is attached to is not in the shutdown state.",
    })

VERSIONS = {"4.18": V4_18, "4.23": V4_23}
