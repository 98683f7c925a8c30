"""Asynchronous jobs: their queues, their timing, their endings.

A submitted command becomes a job with a thread of its own. Jobs that touch a machine pass through
that machine's queue one at a time, in the order of submission. When its turn comes a job does two
things, each at a moment the test can choose: it changes the guest (`plug_delay` after the start)
and it finishes, which changes the row and lets the job read as done (`job_delay` after the start).
Neither order is the natural one. A device may show up while the job is still pending, or seconds
after it succeeded, and a client has to cope with both. What the guest sees of one volume never
overtakes: an unplug waits for the plug before it.

A restart of the management server loses pending jobs: they fail without a result, volumes in
transition fall back, and nobody knows what the hypervisor did in the meantime.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from .errors import INTERNAL, ApiError, invalid
from .plug import PlugError
from .world import ACCOUNT, stamp

log = logging.getLogger("cloudsim")

PENDING, SUCCEEDED, FAILED = 0, 1, 2


@dataclass
class Plan:
    """How one job is going to go: the settings, bent by the faults that struck its request."""

    job_delay: float
    plug_delay: float
    extra_polls: int = 0        # polls that read pending although the job has ended
    fails: bool = False
    failure: ApiError | None = None     # None with `fails`: no jobresult at all
    touches_guest: bool = True
    size: int | None = None     # the size the device gets instead of the right one

    @classmethod
    def make(cls, settings, faults):
        plan = cls(settings.job_delay, settings.plug_delay)
        if rule := faults.get("job_delay"):
            plan.job_delay = rule.options["seconds"]
        if rule := faults.get("plug_delay"):
            plan.plug_delay = rule.options["seconds"]
        if rule := faults.get("job_pending"):
            plan.extra_polls = rule.options["polls"]
        if rule := faults.get("job_end"):
            plan.fails = True
            plan.touches_guest = rule.options.get("effect", False)
            if not rule.options.get("bare"):
                plan.failure = ApiError(rule.options.get("code", INTERNAL),
                                        rule.options.get("text", "the fault script says so"))
        if rule := faults.get("guest"):
            plan.size = rule.options.get("size")
            plan.touches_guest = plan.size is not None
        return plan


@dataclass(eq=False)
class Job:
    id: str
    command: str
    volume_id: str
    work: object
    plan: Plan
    created: float
    status: int = PENDING
    code: int = 0
    result: dict | None = None
    completed: float | None = None
    refusal: ApiError | None = None     # found before the queue; told when the job ends
    guest_error: str | None = None
    lost: bool = False                  # to a restart of the management server
    hurried: bool = False               # it sleeps no more
    after: threading.Event | None = None        # the volume's previous change in the guest
    acted: threading.Event = field(default_factory=threading.Event)

    @property
    def cmd(self):
        name = self.command[0].upper() + self.command[1:]
        return f"org.apache.cloudstack.api.command.user.volume.{name}Cmd"

    def poll(self):
        """Count one look at an ended job that the plan wants to hide for a while."""
        if self.status != PENDING and self.plan.extra_polls:
            self.plan.extra_polls -= 1
            return True
        return self.status == PENDING

    def row(self, pending):
        row = {"accountid": "8c1b57f0-64e3-49d9-a0b6-52e7d1f3c948",
               "userid": "d41f0e9b-2a76-4c85-8b13-90f6ce7a25d4", **ACCOUNT,
               "cmd": self.cmd, "jobstatus": PENDING if pending else self.status,
               "jobprocstatus": 0, "jobresultcode": 0 if pending else self.code}
        if not pending:
            row["jobresulttype"] = "object"
            if self.result is not None:
                row["jobresult"] = self.result
            row["completed"] = stamp(self.completed)
        return row | {"jobinstancetype": "Volume", "jobinstanceid": self.volume_id,
                      "created": stamp(self.created), "jobid": self.id,
                      "managementserverid": "0f6a9d12-7b3c-4e58-91d4-c2a85e07b36f",
                      "managementservername": "cloudsim"}


class JobRunner:
    def __init__(self, world):
        self._world = world
        self._queues = defaultdict(deque)       # machine -> jobs, the first has its turn
        self._last_change = {}                  # volume -> event of its last change in the guest
        self._threads = set()
        self._closing = False

    def submit(self, command, work, custom_id, plan, ignore_custom_id):
        """Accept a job. The caller holds the world's lock."""
        world = self._world
        if custom_id is not None:
            if not _is_uuid(custom_id):
                raise invalid(f"UUID: {custom_id} doesn't follow the UUID format")
            if custom_id in world.jobs:
                raise invalid(f"UUID: {custom_id} already exists so can't create/update "
                              "with custom id")
        job_id = custom_id if custom_id and not ignore_custom_id else world.new_uuid()
        job = Job(job_id, command, work.volume.id, work, plan, time.time())
        try:
            work.check()
            if work.vm is not None:
                self._queues[work.vm].append(job)
        except ApiError as error:
            job.refusal = error
        world.jobs[job.id] = world.pending[job.id] = job
        thread = threading.Thread(target=self._run, args=(job,), name=f"job-{command}",
                                  daemon=True)
        self._threads.add(thread)
        thread.start()
        world.notify()
        return job

    def poll(self, job):
        """One client's look at a job: does it read as pending? The caller holds the lock."""
        pending = job.poll()
        if not pending and self._world.pending.pop(job.id, None):
            self._world.notify()
        return pending

    def restart(self, effects):
        """Lose all pending jobs. With `effects` the guest sees what had been begun."""
        world = self._world
        with world.lock:
            lost = [job for job in world.pending.values() if job.status == PENDING]
            begun = [job for job in lost if job.after is not None]
            for job in lost:
                job.lost = True
                job.plan.extra_polls = 0
                job.plan.touches_guest &= effects and job in begun
                self._end(job, FAILED, INTERNAL, None)
            for volume in world.volumes.values():
                if volume.state in ("Attaching", "Resizing", "Snapshotting", "Migrating"):
                    volume.state = "Ready"
                elif volume.state == "Creating":
                    volume.state = "Allocated"
            world.notify()
        for job in begun:
            job.acted.wait()

    def hurry(self):
        """Let the jobs there are take no more time than they need."""
        world = self._world
        with world.lock:
            for job in world.jobs.values():
                job.hurried = True
            world.notify()

    def close(self):
        with self._world.lock:
            self._closing = True
            self._world.notify()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    # -- one job's life, on its thread

    def _run(self, job):
        try:
            if job.refusal:
                self._sleep(job, time.monotonic() + job.plan.job_delay)
                self._fail(job, job.refusal)
            elif self._begin(job):
                start, plan = time.monotonic(), job.plan
                moments = [(plan.plug_delay, self._act), (plan.job_delay, self._finish)]
                for delay, step in sorted(moments, key=lambda moment: moment[0]):
                    self._sleep(job, start + delay)
                    step(job)
        finally:
            self._acted(job)
            with self._world.lock:
                self._threads.discard(threading.current_thread())

    def _sleep(self, job, until):
        """Sleep until a moment; a job that is lost or hurried, or in a simulator that closes, sleeps
        no more.

        A job that ended in the ordinary way still waits for its late change in the guest.
        """
        with self._world.lock:
            self._world.wait_for(lambda: self._closing or job.lost or job.hurried,
                                 max(0, until - time.monotonic()))

    def _begin(self, job):
        """Wait for the job's turn and start its work. False if it ended before."""
        world = self._world
        with world.lock:
            if job.work.vm is not None:
                queue = self._queues[job.work.vm]
                world.wait_for(lambda: self._closing or job.status != PENDING or queue[0] is job,
                               None)
            if self._closing or job.status != PENDING:
                return False
            try:
                job.work.begin()
            except ApiError as error:
                self._fail(job, error)
                return False
            job.after = self._last_change.get(job.volume_id) or _already()
            self._last_change[job.volume_id] = job.acted
            world.notify()
            return True

    def _act(self, job):
        """The change in the guest. It may take its time and must not hold the lock."""
        if job.plan.touches_guest and not self._closing:
            job.after.wait()
            try:
                job.work.guest(job.plan)
            except PlugError as error:
                log.warning("%s of %s: %s", job.command, job.volume_id, error)
                job.guest_error = str(error)
        self._acted(job)

    def _acted(self, job):
        """Nothing more will happen in the guest on this job's account."""
        job.acted.set()
        with self._world.lock:
            self._world.notify()

    def _finish(self, job):
        with self._world.lock:
            if job.status != PENDING or self._closing:
                return
            if job.guest_error:
                self._fail(job, ApiError(INTERNAL, job.work.guest_failure(job.guest_error)))
            elif job.plan.fails:
                self._fail(job, job.plan.failure)
            else:
                self._end(job, SUCCEEDED, 0, job.work.finish())

    def _fail(self, job, error):
        with self._world.lock:
            if job.status != PENDING:
                return
            job.work.abort()
            result = error and {"errorcode": error.code, "errortext": error.text}
            self._end(job, FAILED, error.code if error else INTERNAL, result)

    def _end(self, job, status, code, result):
        """The only way a job ends. The caller holds the lock."""
        job.status, job.code, job.result, job.completed = status, code, result, time.time()
        queue = self._queues[job.work.vm]
        if job in queue:
            queue.remove(job)
        if not job.plan.extra_polls:
            del self._world.pending[job.id]
        self._world.notify()


def _already():
    event = threading.Event()
    event.set()
    return event


def _is_uuid(text):
    groups = text.split("-")
    return ([len(g) for g in groups] == [8, 4, 4, 4, 12]
            and set("".join(groups)) <= set("0123456789abcdef"))
