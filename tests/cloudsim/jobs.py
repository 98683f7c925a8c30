# SPDX-License-Identifier: LGPL-2.1-or-later
"""Asynchronous jobs: their queues, their timing, their endings.

A submitted command becomes a job with a thread of its own. Jobs that touch a machine pass through
that machine's queue one at a time, in the order of submission. When its turn comes a job does two
things, each at a moment the test can choose: it changes the guest (`plug_delay` after the start)
and it finishes, which changes the row and lets the job read as done (`job_delay` after the start).
Neither order is the natural one. A device may show up while the job is still pending, or seconds
after it succeeded, and a client has to cope with both. What the guest sees of one volume never
overtakes: an unplug waits for the plug before it.

A restart of the management server loses pending jobs: they fail without a result, volumes in
transition fall back, and nobody knows what the hypervisor did in the meantime. The observed server
also removes their volumes (`restart_removes`).
"""

import logging
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field

from .accounts import Account
from .errors import INTERNAL, ApiError, internal, invalid, repeated_job
from .plug import PlugError

log = logging.getLogger("cloudsim")

PENDING, SUCCEEDED, FAILED = 0, 1, 2


@dataclass
class Plan:
    """How one job is going to go: the settings, bent by the faults that struck its request."""

    job_delay: float
    plug_delay: float
    queue_delay: float
    runs_on: float = 0.0        # seconds from the effect on the row to the end
    extra_polls: int = 0        # polls that read pending although the job has ended
    fails: bool = False
    failure: ApiError | None = None     # None with `fails`: no jobresult at all
    does_it: bool = False       # with `fails`: all the same
    idle: bool = False          # it succeeds and does nothing
    touches_guest: bool = True
    size: int | None = None     # the size the device gets instead of the right one

    @classmethod
    def make(cls, settings, command, faults):
        plan = cls(settings.job_delay, settings.plug_delay, settings.queue_delay)
        if command in settings.fail_but_do:
            plan.fails = plan.does_it = True
            plan.failure = internal("Command failed due to Internal Server Error")
        if command in settings.succeed_but_do_not:
            plan.idle = True
            plan.touches_guest = False
        if rule := faults.get("job_delay"):
            plan.job_delay = rule.options["seconds"]
        if rule := faults.get("plug_delay"):
            plan.plug_delay = rule.options["seconds"]
        if rule := faults.get("job_pending"):
            plan.extra_polls = rule.options["polls"]
        if rule := faults.get("runs_on"):
            plan.runs_on = rule.options["seconds"]
        if rule := faults.get("job_end"):
            plan.fails, plan.does_it = True, False
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
    number: int                         # the database key
    command: str
    cmd: str                            # the name of the server's class
    account: Account
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
    def instance(self):
        return self.work.instance

    @property
    def volume_id(self):
        return self.work.volume.id if self.work.volume else None

    def poll(self):
        """Count one look at an ended job that the plan wants to hide for a while."""
        if self.status != PENDING and self.plan.extra_polls:
            self.plan.extra_polls -= 1
            return True
        return self.status == PENDING


class JobRunner:
    def __init__(self, sim):
        self._sim = sim
        self._world = sim.world
        self._queues = defaultdict(deque)       # machine -> jobs, the first has its turn
        self._last_change = {}                  # volume -> event of its last change in the guest
        self._threads = set()
        self._closing = False

    def submit(self, call, work, custom_id, plan):
        """Accept a job. The caller holds the world's lock."""
        world = self._world
        if custom_id is not None:
            self._check_id(custom_id)
        if custom_id is None or self._sim.settings.ignore_customjobid:
            custom_id = world.new_uuid()
        job = Job(custom_id, len(world.jobs) + 1, call.name, call.cmd, call.account, work, plan,
                  world.now())
        try:
            work.check()
            if work.vm is not None:
                self._queues[work.vm].append(job)
        except ApiError as error:
            job.refusal = error
        world.jobs[job.id] = world.pending[job.id] = job
        thread = threading.Thread(target=self._run, args=(job,), name=f"job-{call.name}",
                                  daemon=True)
        self._threads.add(thread)
        thread.start()
        world.notify()
        return job

    def _check_id(self, custom_id):
        if not _is_uuid(custom_id):
            raise invalid(f"UUID: {custom_id} doesn't follow the UUID format")
        if custom_id in self._world.jobs:
            code = self._sim.settings.repeated_job or self._sim.version.repeated_job
            raise repeated_job(code, custom_id)

    def poll(self, job):
        """One client's look at a job: does it read as pending? The caller holds the lock."""
        pending = job.poll()
        if not pending and self._world.pending.pop(job.id, None):
            self._world.notify()
        return pending

    def restart(self, effects):
        """Lose all pending jobs. With `effects` the guest sees what had been begun."""
        world, removes = self._world, self._sim.settings.restart_removes
        if removes is None:
            removes = self._sim.version.restart_removes
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
            for job in lost if removes else ():
                _remove_volume(job)
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
        """Sleep until a moment; a job that is lost or hurried, or in a simulator that closes,
        sleeps no more.

        A job that ended in the ordinary way still waits for its late change in the guest.
        """
        with self._world.lock:
            self._world.wait_for(lambda: self._closing or job.lost or job.hurried,
                                 max(0, until - time.monotonic()))

    def _begin(self, job):
        """Wait for the job's turn and start its work. False if it ended before."""
        world = self._world
        if job.work.vm is not None:
            self._sleep(job, time.monotonic() + job.plan.queue_delay)
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
            if job.volume_id:
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
            elif job.plan.fails and not job.plan.does_it:
                self._fail(job, job.plan.failure)
            elif job.plan.idle:
                job.work.abort()
                self._end(job, SUCCEEDED, 0, job.work.result())
            elif job.plan.runs_on:
                self._run_on(job)
            else:
                self._do(job)

    def _run_on(self, job):
        """The row is changed and the machine's queue goes on, but the job does not end yet. The
        caller holds the lock, which is free during the sleep."""
        delay, job.plan.runs_on = job.plan.runs_on, 0
        job.work.finish()
        self._leave_queue(job)
        self._world.notify()
        self._sleep(job, time.monotonic() + delay)
        self._finish(job)

    def _do(self, job):
        try:
            result = job.work.finish()
        except ApiError as error:
            self._fail(job, error)
        else:
            if job.plan.fails:
                self._end_failed(job, job.plan.failure)
            else:
                self._end(job, SUCCEEDED, 0, result)

    def _fail(self, job, error):
        with self._world.lock:
            if job.status != PENDING:
                return
            job.work.abort()
            if error:
                job.work.failed()
            self._end_failed(job, error)

    def _end_failed(self, job, error):
        result = error and {"errorcode": error.code, "errortext": error.text}
        own_code = error and not self._sim.version.job_code_is_530
        self._end(job, FAILED, error.code if own_code else INTERNAL, result)

    def _leave_queue(self, job):
        queue = self._queues[job.work.vm]
        if job in queue:
            queue.remove(job)

    def _end(self, job, status, code, result):
        """The only way a job ends. The caller holds the lock."""
        job.status, job.code, job.result = status, code, result
        job.completed = self._world.now()
        self._leave_queue(job)
        if not job.plan.extra_polls:
            del self._world.pending[job.id]
        self._world.notify()


def _remove_volume(job):
    """What the observed server does when it starts again: it cleans up behind its lost jobs, and
    with them goes a volume that is attached to no machine, whatever is on it."""
    volume = job.work.volume
    if job.instance and job.instance[0] == "Volume" and volume.vm is None:
        volume.state, volume.removed = "Expunged", True


def _already():
    event = threading.Event()
    event.set()
    return event


def _is_uuid(text):
    groups = text.split("-")
    return ([len(g) for g in groups] == [8, 4, 4, 4, 12]
            and set("".join(groups)) <= set("0123456789abcdef"))
