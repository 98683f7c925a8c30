#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the suites of tests/run side by side.

A suite is one or more jobs, a job is one command. Some jobs compute (builds, random schedules, the
emulated appliances), others mostly wait for daemons and databases; a machine is used well when both
kinds run at the same time. So each job says how many cores it keeps busy, and the next one in the
list begins when that many are free. A job that needs a build waits for it.

What a job prints goes into build/logs, the report of each failed test into a file of its own. The
end of the output is for whoever must mend it: times, then for each failed test its report and the
command that runs this test alone.

truth, requests, storm, soak and fuzz decide at random. Their seeds are the same in each run, so that no change
fails because of a seed that was never tried before; a number of minutes behind the name of such a
suite makes it a search, with seeds of its own.
"""

import contextlib
import json
import math
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"
LOGS = BUILD / "logs"
PYTHON = "/usr/bin/python3"

CORES = len(os.sched_getaffinity(0))
MEMORY_GIB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30

# A worker of pytest has its own daemon, bus and clients, and waits for them three quarters of its time. An appliance
# of the lab keeps a core busy.
WORKERS = max(1, min(4 * CORES, int(MEMORY_GIB)))
APPLIANCES = max(1, min(CORES, int(MEMORY_GIB / 2)))
# Failed tests that are shown whole: with the times they fit into the last 60 lines.
SHOWN = 10
# Columns of a complaint.
WHY_WIDTH = 200
# Jobs that wait leave gaps, which a little too much work fills.
ROOM = 1.5 * CORES

SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1",
              "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
# The compiler and the options of a build with them. Their reports name functions, files and lines, and have no use for
# types and variables.
CHECKED = (f"{TOP}/tests/err_checked clang", "-Dwerror=true", "-Db_sanitize=address,undefined", "-Db_lundef=false",
           "-Dc_args=-gline-tables-only")
# Of truth, and of a fuzzer, which makes fewer inputs if its time is over.
SCHEDULES = 60_000
INPUTS = 10_000
INPUTS_SECONDS = 30

# The tests of the lab that install packages, which takes two builds of them.
INSTALLED = "tests/system/lab/test_installed.py"

# The tests of the driver for MariaDB, which run under the sanitizers alone.
MARIADB_TESTS = "tests/system/e2e/test_mariadb.py"

SEARCHES = ("truth", "requests", "storm", "soak", "fuzz")

STORES = ("sqlite", "mariadb", "galera")
SUITES = {"unit": (), "truth": (), "e2e": STORES, "crash": STORES[:2], "faults": STORES[:2], "documents": (), "hostile": (),
          "requests": (), "storm": STORES[:2], "soak": STORES[:2], "fuzz": (), "lab": (), "package": (), "tidy": (),
          "counts": (), "bench": ()}


@dataclass
class Failure:
    """A failed test, or a job that ended without a report."""

    name: str
    log: Path
    again: str
    why: str = ""                   # the first line of its complaint


@dataclass
class Job:
    name: str
    suite: str
    command: list
    busy: float                     # cores
    needs: str | None = None        # the name of another job
    env: dict = field(default_factory=dict)
    seconds: float = 0
    cpu_seconds: float = 0          # of its processes, as far as they were awaited
    passed: int = 0
    failures: list = field(default_factory=list)
    figures: list = field(default_factory=list)     # what tests have measured and do not judge

    @property
    def log(self):
        return LOGS / f"{self.slug}.log"

    @property
    def slug(self):
        return re.sub(r"[^\w-]+", "-", self.name)

    def run(self, processes):
        """Run it to its end and read its report."""
        begun = time.monotonic()
        with open(self.log, "wb") as log:
            process = subprocess.Popen(self.command, cwd=TOP, env=os.environ | self.env,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            processes.add(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            processes.discard(process.pid)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - begun
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.judge(process.returncode)

    def judge(self, status):
        """What its end says. A job without tests of its own only has to succeed."""
        if status:
            self.failures.append(Failure(self.name, self.log, self.in_words(self.command)))

    def fail(self, title, again, complaint, *parts):
        """A failed test: the first line of the complaint is shown, and all goes into a file."""
        log = LOGS / f"{self.slug}.{len(self.failures) + 1}.log"
        log.write_text("\n".join(part for part in (title, complaint, *parts) if part), errors="replace")
        why = next(iter((complaint or "").splitlines()), "")
        self.failures.append(Failure(f"{self.name}: {title}", log, again, why[:WHY_WIDTH]))

    def in_words(self, command):
        words = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join(words + [shlex.quote(str(word).replace(f"{TOP}/", "")) for word in command])


class Build(Job):
    """Configures build/NAME once and brings it up to date."""

    def __init__(self, name, compiler, *options, target="all", linker="lld"):
        folder = BUILD / name
        setup = [] if (folder / "build.ninja").exists() else ["meson", "setup", *options, folder, TOP]
        ninja = ["ninja", "-C", folder, target]
        words = " && ".join(shlex.join(map(str, words)) for words in (setup, ninja) if words)
        # There are many programs to link, and lld takes a third of the time of the usual linker.
        super().__init__(f"build {name}", "build", ["/bin/sh", "-c", words], 1, env={"CC": compiler, "CC_LD": linker})


class Reported(Job):
    """A job that writes a report."""

    report: Path

    def judge(self, status):
        try:
            tests = self.read_report()
        except (OSError, ValueError, ElementTree.ParseError):
            tests = 0
        # A report that says nothing is none, and what the command itself complains of is not lost.
        if not tests or (status and not self.failures):
            super().judge(status or 1)

    def read_report(self):
        """Counts what passed and notes what failed; returns how many tests there were."""
        raise NotImplementedError


class Unit(Reported):
    def __init__(self, build, env=None):
        folder = BUILD / build
        super().__init__(f"unit {build}", "unit",
                         ["meson", "test", "-C", folder, "--no-rebuild", "--suite", "unit",
                          "--print-errorlogs", "--timeout-multiplier", "10",
                          "--num-processes", str(2 * CORES)],
                         1, needs=f"build {build}", env=env or {})
        self.folder = folder
        # Not the JUnit report, in which a test that ran out of time looks like one that passed.
        self.report = folder / "meson-logs/testlog.json"

    def read_report(self):
        tests = [json.loads(line) for line in self.report.read_text().splitlines()]
        for test in tests:
            if test["result"] == "OK":
                self.passed += 1
            elif test["result"] != "SKIP":
                name = test["name"].rpartition(" / ")[2]    # behind project and suite
                again = self.in_words(["meson", "test", "-C", self.folder, "-v", name])
                self.fail(name, again, test["result"], test.get("stdout"), test.get("stderr"))
        return len(tests)


class Pytest(Reported):
    def __init__(self, suite, build, store, *places, busy=1.0, workers=WORKERS, env=None, start=(), note=""):
        super().__init__(f"{suite}{':' + store if SUITES[suite] else ''} {build}{note}", suite, [], busy,
                         needs=f"build {build}",
                         env={"VOLD_BUILD": str(BUILD / build), "VOLD_STORE": store} | (env or {}))
        self.report = LOGS / f"{self.slug}.xml"
        # Tests that share something costly are a group, which stays with one worker.
        self.command = [*start, *self.pytest(), "-n", str(workers), "--dist", "loadgroup",
                        "-o", "junit_family=xunit1", "--junitxml", self.report, *places]

    def read_report(self):
        cases = list(ElementTree.parse(self.report).iter("testcase"))
        for case in cases:
            complaint = case.find("failure") if case.find("failure") is not None else case.find("error")
            if complaint is not None:
                self.fail(self.title(case), self.again(case), complaint.get("message"), complaint.text,
                          *(part.text for part in case if part.tag in ("system-out", "system-err")))
            elif case.find("skipped") is None:
                self.passed += 1
            self.figures += [item.get("value") for item in case.iter("property") if item.get("name") == "figure"]
        return len(cases)

    @staticmethod
    def pytest():
        return [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def title(self, case):
        # A group's name stands behind the test's.
        name = re.sub(r"@[^@\]]*$", "", case.get("name"))
        return f"{case.get('file')}::{name}" if case.get("file") else name

    def again(self, case):
        return self.in_words([*self.pytest(), self.title(case)])


class Truth(Job):
    """A share of the schedules, or a search of so many seconds."""

    def __init__(self, number, search):
        self.program = BUILD / "gcc/tests/truth/test_truth"
        share = math.ceil(SCHEDULES / CORES)
        self.first = random.getrandbits(62) if search else 1 + share * number
        super().__init__(f"truth {number + 1}", "truth",
                         [self.program, "--base", str(self.first),
                          *(["--seconds", str(search)] if search else ["--schedules", str(share)])],
                         1, needs="build gcc")

    def judge(self, status):
        said = self.log.read_text(errors="replace")
        found = re.search(r"^seed (\d+): (.*)", said, re.MULTILINE)
        if found:
            self.failures.append(Failure(f"{self.name}: {found[2]}", self.log,
                                         self.in_words([self.program, "--seed", found[1]])))
        elif status:
            super().judge(status)
        else:
            self.passed = 1
        played = re.search(r"^(\d+ of \d+ schedules failed)", said, re.MULTILINE)
        self.figures.append(f"{self.name}: {played[1] if played else 'ended early'}, from seed {self.first} on")


class Counts(Job):
    """Instruction counts of hot paths, compared with those that are kept."""

    def __init__(self):
        super().__init__("counts", "counts", [PYTHON, TOP / "tests/bench/counts.py"], 1, needs="build gcc",
                         env={"VOLD_BUILD": str(BUILD / "gcc")})

    def judge(self, status):
        lines = self.log.read_text(errors="replace").splitlines()
        for line in lines:
            if line.startswith("GROWN: "):
                self.fail(line.partition(": ")[2].partition(":")[0], self.in_words(self.command), line, *lines)
        if status and not self.failures:
            super().judge(status)
        self.passed = sum(" instructions" in line for line in lines) - len(self.failures)
        self.figures += [f"counts: {line.removeprefix('counts: ')}" for line in lines]


class Fuzz(Job):
    """A fuzzer begins with its seeds and makes the same inputs each time. In a search it also begins with the inputs
    by which earlier searches reached new code, which stay in build/fuzz/corpus. An input that broke something stays in
    build/fuzz/findings."""

    def __init__(self, name, search):
        self.fuzzer, folder = name, BUILD / "fuzz"
        self.program = folder / f"tests/fuzz/fuzz_{name}"
        self.corpus, self.findings = folder / "corpus" / name, folder / "findings"
        self.list = folder / f"seeds-{name}"
        if search:
            how = [f"-max_total_time={search}", self.corpus]
        else:
            # Not with the values that the code compares: some are addresses, which differ from run to run.
            how = ["-seed=1", "-use_cmp=0", f"-runs={INPUTS}", f"-max_total_time={INPUTS_SECONDS}"]
        super().__init__(f"fuzz {name}", "fuzz",
                         [self.program, "-print_final_stats=1",
                          # Of one input; a busy machine is slow.
                          "-timeout=300", "-report_slow_units=300",
                          f"-artifact_prefix={self.findings}/{name}-", f"-seed_inputs=@{self.list}", *how],
                         1, needs="build fuzz", env=SANITIZERS)

    def seeds(self):
        yield TOP / "tests/fuzz/seeds" / self.fuzzer
        if self.fuzzer == "reply":
            # CloudStack's recorded answers are seeds for the reader of its answers.
            recorded = BUILD / "fuzz/recorded"
            subprocess.run([TOP / "tests/fuzz/seeds.py", recorded], check=True)
            yield recorded

    def run(self, processes):
        for folder in (self.corpus, self.findings):
            folder.mkdir(parents=True, exist_ok=True)
        # In an order that is not the file system's.
        self.list.write_text(",".join(str(file) for folder in self.seeds() for file in sorted(folder.iterdir())))
        super().run(processes)

    def judge(self, status):
        said = self.log.read_text(errors="replace")
        found = re.search(r"Test unit written to (\S+)", said)
        if found:
            why = re.search(r"(it does not hold that .*|runtime error: .*|ERROR: .*)", said)
            self.failures.append(Failure(f"{self.name}: {Path(found[1]).name}", self.log,
                                         self.in_words([self.program, found[1]]), why[1][:WHY_WIDTH] if why else ""))
        elif status:
            super().judge(status)
        else:
            self.passed = 1
        inputs = re.search(r"number_of_executed_units: (\d+)", said)
        self.figures.append(f"fuzz {self.fuzzer}: {inputs[1] if inputs else 0} inputs in {self.seconds:.0f} s, "
                            f"{'1 finding' if self.failures else 'nothing found'}")


def jobs_of(wanted, everything, searches):
    """The jobs of the wanted suites, in the order in which they begin. In a run of everything, tidy looks at what has
    changed of late. searches: the seconds of each suite that searches."""
    def wants(*names):
        return any(name in wanted for name in names)

    sanitized = wants("unit", "e2e:sqlite", "e2e:mariadb", "e2e:galera", "requests")
    jobs = [Build("gcc", "gcc", "-Dwerror=true")]
    if wants("lab"):
        # The longest of all, and an appliance cannot use more than one core: it begins first.
        jobs.append(Pytest("lab", "gcc", "sqlite", "tests/system/lab", f"--ignore={INSTALLED}", busy=APPLIANCES,
                           workers=APPLIANCES))
    if sanitized:
        # The build with clang is the one with sanitizers, which slow it least. And each function that succeeds is
        # asked for the error it may have left.
        jobs.append(Build("asan", *CHECKED))
    for store in ("sqlite", "mariadb"):
        if wants(f"faults:{store}"):
            jobs.append(Pytest("faults", "gcc", store, "tests/system/faults"))
    if wants("e2e:galera"):
        # One cluster, whose nodes its tests kill and wait for.
        jobs.append(Pytest("e2e", "asan", "galera", "tests/system/e2e/test_galera.py", busy=0, workers=1,
                           env=SANITIZERS))
    if wants("e2e:sqlite"):
        jobs.append(Pytest("e2e", "asan", "sqlite", "tests/system/export", "tests/system/e2e",
                           "tests/system/earlier", "tests/system/clients", env=SANITIZERS))
    if wants("package"):
        # Long, and one thing after the other: it begins early.
        jobs.append(Pytest("package", "gcc", "sqlite", "tests/system/package", INSTALLED, workers=2))
    if wants("truth"):
        jobs += [Truth(number, searches.get("truth")) for number in range(CORES)]
    if wants("e2e:sqlite"):
        # gcc's build meets the tests in which the store plays a part on MariaDB.
        jobs.append(Pytest("e2e", "gcc", "sqlite", "tests/cloudsim", note=" cloudsim"))
        jobs.append(Pytest("e2e", "gcc", "sqlite", "tests/system/e2e/test_volumectl.py", note=" inherited",
                           start=[TOP / "tests/inherited", TOP / "tests/clean_start"]))
    if wants("e2e:mariadb"):
        jobs.append(Pytest("e2e", "gcc", "mariadb", "tests/system/e2e", "tests/system/earlier",
                           f"--ignore={MARIADB_TESTS}"))
        jobs.append(Pytest("e2e", "asan", "mariadb", MARIADB_TESTS, env=SANITIZERS))
    if wants("tidy"):
        # Like a build, it uses all cores by itself.
        jobs.append(Job("tidy", "tidy", [TOP / "tests/tidy", *(["--recent"] if everything else [])], 1))
    if wants("unit"):
        jobs += [Unit("asan", SANITIZERS), Unit("gcc")]
    for store in ("sqlite", "mariadb"):
        if wants(f"crash:{store}"):
            jobs.append(Pytest("crash", "gcc", store, "tests/system/crash"))
    if wants("documents"):
        jobs.append(Pytest("documents", "gcc", "sqlite", "tests/system/documents"))
    if wants("hostile"):
        jobs.append(Pytest("hostile", "gcc", "sqlite", "tests/system/hostile"))
    if wants("requests"):
        search = {"VOLD_REQUESTS_SECONDS": str(searches["requests"]),
                  "VOLD_REQUESTS_SEED": str(random.getrandbits(62))} if "requests" in searches else {}
        jobs.append(Pytest("requests", "asan", "sqlite", "tests/system/requests", workers=1, env=SANITIZERS | search))
    for suite, store in ((suite, store) for suite in ("storm", "soak") for store in SUITES[suite]):
        if wants(f"{suite}:{store}"):
            # With a seed from here, the command that is shown for a failure repeats the decisions.
            search = {"VOLD_STORM_SECONDS": str(searches[suite]),
                      "VOLD_STORM_SEED": str(random.getrandbits(62))} if suite in searches else {}
            jobs.append(Pytest(suite, "gcc", store, f"tests/system/storm/test_{suite}.py", workers=1, env=search))
    if wants("fuzz"):
        jobs.append(Build("fuzz", *CHECKED, "-Dfuzz=true", "-Dtests=false", target="fuzzers"))
        jobs += [Fuzz(source.stem.removeprefix("fuzz_"), searches.get("fuzz"))
                 for source in sorted((TOP / "tests/fuzz").glob("fuzz_*.c"))]
    if wants("counts"):
        jobs.append(Counts())
    if wants("bench"):
        jobs.append(Build("release", "gcc", "--buildtype=release", linker="bfd"))
    return jobs


class Run:
    """All jobs, from the first to the last end."""

    def __init__(self, jobs):
        self.jobs = jobs
        self._waiting = list(jobs)
        self._running = []
        self._ended = {}
        self._processes = set()
        self._changed = threading.Condition()

    def run(self):
        with self._changed:
            while self._waiting or self._running:
                job = self._next()
                if job:
                    self._begin(job)
                else:
                    self._changed.wait()

    def interrupt(self):
        """End what runs, as by Ctrl-C: it tidies up."""
        with self._changed:
            self._waiting.clear()
            for process in list(self._processes):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGINT)
            while self._running:
                self._changed.wait()

    def _next(self):
        """The first job that can begin."""
        used = sum(job.busy for job in self._running)
        for job in self._waiting:
            if job.needs and job.needs not in self._ended:
                continue
            # Each build uses all cores by itself, and the first one is waited for the most.
            if isinstance(job, Build) and any(isinstance(other, Build) for other in self._running):
                continue
            return job if not self._running or used + job.busy <= ROOM else None
        return None

    def _begin(self, job):
        self._waiting.remove(job)
        needed = self._ended.get(job.needs)
        if needed and needed.failures:
            # That failure stands in the list already.
            self._ended[job.name] = job
            return
        self._running.append(job)
        threading.Thread(target=self._run, args=[job], daemon=True).start()

    def _run(self, job):
        try:
            job.run(self._processes)
        except Exception as error:  # or the run would wait for it for ever
            job.failures.append(Failure(job.name, job.log, job.in_words(job.command), repr(error)[:WHY_WIDTH]))
        with self._changed:
            self._running.remove(job)
            self._ended[job.name] = job
            print(f"{time.strftime('%H:%M:%S')}  {job.name}: {outcome(job)}", flush=True)
            self._changed.notify()


def outcome(job):
    figures = [f"{job.passed} passed"] if job.passed else []
    if job.failures:
        figures.append(f"{len(job.failures)} failed")
    return f"{', '.join(figures) or 'done'} in {job.seconds:.0f} s"


def report(run, seconds):
    """Times, then what is to be mended; returns whether nothing is."""
    print("\n== times")
    suites = {}
    for job in run.jobs:
        suites.setdefault(job.suite, []).append(job)
    for suite, jobs in suites.items():
        print(f"{suite:8} {sum(job.seconds for job in jobs):6.0f} s {sum(job.cpu_seconds for job in jobs):6.0f} CPU-s   "
              + ", ".join(f"{job.name.removeprefix(suite).strip(' :')} {job.seconds:.0f}/{job.cpu_seconds:.0f}"
                          for job in jobs))
    print(f"{'in all':8} {seconds:6.0f} s {sum(job.cpu_seconds for job in run.jobs):6.0f} CPU-s   "
          f"side by side on {CORES} cores")

    for figure in (figure for job in run.jobs for figure in job.figures):
        print(f"{'figure':8} {figure}")
    failures = [failure for job in run.jobs for failure in job.failures]
    if failures:
        print("\n== failed")
    for failure in failures[:SHOWN]:
        why = f"\n    why:    {failure.why}" if failure.why else ""
        print(f"{failure.name}{why}\n    report: {failure.log.relative_to(TOP)}\n    again:  {failure.again}")
    if failures[SHOWN:]:
        rest = LOGS / "failed.txt"
        rest.write_text("".join(f"{f.name}\n    {f.log}\n    {f.again}\n" for f in failures))
        print(*(failure.name for failure in failures[SHOWN:]), f"all of them: {rest.relative_to(TOP)}", sep="\n")
    print(f"\n{sum(job.passed for job in run.jobs)} passed, {len(failures)} failed", flush=True)
    return not failures


def wanted_of(words):
    """The suites that the words name, each with its kind of store where it has kinds."""
    wanted = []
    for word in words or [suite for suite in SUITES if suite != "bench"]:
        suite, _, store = word.partition(":")
        if suite not in SUITES:
            sys.exit(f"run: there is no suite \"{suite}\"; there are: {' '.join(SUITES)}")
        if store and store not in SUITES[suite]:
            stores = " ".join(SUITES[suite]) or "none"
            sys.exit(f"run: {suite} has no store \"{store}\"; there are: {stores}")
        wanted += [f"{suite}:{kind}" for kind in SUITES[suite] if store in ("", kind)] or [suite]
    return wanted


def searches_of(words):
    """The words without the minutes behind "truth" and its like, and the seconds of each of these searches."""
    rest, seconds = [], {}
    for word in words:
        suite = rest[-1].partition(":")[0] if rest else None
        if word.isdigit() and int(word) and suite in SEARCHES:
            seconds[suite] = 60 * int(word)
        else:
            rest.append(word)
    return rest, seconds


def bench_of(words):
    """The words up to "bench", and those behind it, which are the bench's own."""
    end = words.index("bench") + 1 if "bench" in words else len(words)
    return words[:end], words[end:]


def main():
    words, bench_words = bench_of(sys.argv[1:])
    words, searches = searches_of(words)
    wanted = wanted_of(words)
    bench = [PYTHON, TOP / "tests/bench/bench.py", *bench_words]
    if "--list" in bench_words:
        return subprocess.run(bench, check=False).returncode
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.iterdir():
        old.unlink()
    begun = time.monotonic()
    run = Run(jobs_of(wanted, not words, searches))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.run()
    except KeyboardInterrupt:
        run.interrupt()
        return 130
    if "bench" in wanted:
        # Its figures are compared with each other, so nothing runs beside it; and they are for reading now.
        done = subprocess.run(bench, check=False, env=os.environ | {"VOLD_BUILD": str(BUILD / "release")})
        if done.returncode:
            run.jobs[-1].failures.append(Failure("bench", LOGS, "tests/run bench"))
    return 0 if report(run, time.monotonic() - begun) else 1


if __name__ == "__main__":
    sys.exit(main())
