"""Makes runs of every tool go wrong, and looks whether a result was lost or mixed, or an input touched.

A program, so that it can fork without what pytest has loaded:

    faults.py FOLDER SEED short|full

Prints the cases and what became of them, and last a line of JSON: {"cases": {kind: {outcome: number}}, "breaches": […],
"seconds": …, "peak_mib": …}. Most runs are forked from this process, in which QGIS is loaded already; some are the real
qgis_process. What is made to happen is drawn by SEED; moments on the clock are as exact as the machine is.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter, defaultdict
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crashes  # noqa: E402
import small_world  # noqa: E402

from pti_plugin.core.common.commit_journal import JOURNAL, recover  # noqa: E402
from pti_plugin.core.common.record_file import SUFFIX as RECORD  # noqa: E402
from support import QgisProcess  # noqa: E402

#: seconds that a case may take
MOST_SECONDS = 30
#: seconds that the whole chain may take, on a machine that has much else to do
CHAIN_SECONDS = 1800
#: a run that takes longer is not repeated as often, seconds
SLOW = 3
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: how many of each kind for a tool, and of the chain
SIZES = {
    "full": {"kills": 14, "real": 2, "chain": 4, "disk": 3, "temporary": 1, "readonly": 1, "inputs": 4, "races": 3,
             "clock": 2, "files": 1, "memory": 3},
    "short": {"kills": 2, "real": 0, "chain": 0, "disk": 1, "temporary": 0, "readonly": 1, "inputs": 1, "races": 1,
              "clock": 1, "files": 1, "memory": 0},
}
#: tools that need no result of another one; the short form draws one of them
FIRST_TOOLS = ("ensemblepermafrost", "ensemblelandcover", "trendrasters", "compositeseries", "depthmean",
               "alignrasters", "slope", "predictorstack")
#: what no sentence has
_NO_SENTENCE = ("Traceback", 'File "', "Errno", "Exception", "object at 0x", "</")
_STEPS_MARK = "steps on the disk: "


# ---- QGIS -----------------------------------------------------------------------------------------------------------

def load_qgis(profile):
    """Start QGIS in this process and return {tool: parameter definitions} of the registry."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["QGIS_CUSTOM_CONFIG_PATH"] = str(profile)
    from qgis.core import QgsApplication

    application = QgsApplication([], True)
    application.initQgis()
    sys.path.append(os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"))
    from processing.core.Processing import Processing

    from pti_plugin.provider import PtiProvider

    Processing.initialize()
    provider = PtiProvider()
    application.processingRegistry().addProvider(provider)
    provider.refreshAlgorithms()
    # loaded once; nothing of them may run before a fork, since threads do not follow
    import matplotlib.figure  # noqa: F401
    import numba  # noqa: F401
    import scipy.stats  # noqa: F401
    import xgboost  # noqa: F401
    return SimpleNamespace(application=application, provider=provider,
                           definitions={tool.name(): tool.parameterDefinitions() for tool in provider.algorithms()})


def run_tool(tool, parameters):
    """Run a tool and end this process: 0, or 1 for a refusal, whose message is printed; 3 for anything else."""
    import processing
    from qgis.core import QgsProcessingException

    from pti_plugin.algorithms.base import PtiAlgorithm

    inner = PtiAlgorithm.processAlgorithm

    def told(self, *arguments):
        # QGIS shows only the text of an error
        try:
            return inner(self, *arguments)
        except QgsProcessingException:
            raise
        except BaseException:
            traceback.print_exc()
            raise

    PtiAlgorithm.processAlgorithm = told
    try:
        processing.run(tool if ":" in tool else f"pti:{tool}", parameters)
    except QgsProcessingException as error:
        print(f"ERROR: {error}", file=sys.stderr, flush=True)
        return 1
    except BaseException:
        traceback.print_exc()
        return 3
    return 0


# ---- processes ------------------------------------------------------------------------------------------------------

class Child:
    """A forked run in a session of its own, with its output in a file."""

    def __init__(self, function, log):
        self._log = Path(log)
        self.started = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 4
        try:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for number in (1, 2):
                os.dup2(handle, number)
            os.close(handle)
            # as the plugin has it in qgis_process
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            code = function() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait(self, seconds=MOST_SECONDS):
        """Return the exit code, negative for a signal, or None where it did not end in time."""
        handle = os.pidfd_open(self.pid)
        try:
            ended = select.select([handle], [], [], max(0, self.started + seconds - time.monotonic()))[0]
        finally:
            os.close(handle)
        if not ended:
            os.killpg(self.pid, signal.SIGKILL)
        _, status, used = os.wait4(self.pid, 0)
        self.peak = used.ru_maxrss * 1024
        self.seconds = time.monotonic() - self.started
        return os.waitstatus_to_exitcode(status) if ended else None

    def running(self, seconds):
        """Wait so long, and return True where it still runs."""
        handle = os.pidfd_open(self.pid)
        try:
            return not select.select([handle], [], [], seconds)[0]
        finally:
            os.close(handle)

    def left_behind(self):
        """Return True where a process of its session lives on; QGIS itself asks ``whoami``, which ends soon."""
        until = time.monotonic() + 2
        while time.monotonic() < until:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.02)
        return True

    @property
    def said(self):
        """What it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")


# ---- results --------------------------------------------------------------------------------------------------------

def standing(folder):
    """Return {name: bytes} of the files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def hidden(folder):
    """Return what runs left in a folder."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name.startswith("."))


def checksums(folder):
    """Return {path: checksum} of the files below a folder; statistics that QGIS puts beside rasters it opens are none
    of ours."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.endswith(".aux.xml")}


class Reference:
    """What a tool makes when nothing happens, and how long it takes."""

    def __init__(self, runs, seconds, steps):
        self.files, self.seconds, self.steps = runs[0], seconds, steps
        # tables of times, keys of databases and the like differ from run to run
        self.same = {name for name in runs[0] if runs[0][name] == runs[1].get(name)}
        #: a result of the week before: what the tool makes, and yet other bytes
        self.earlier = {name: data + b"\n" * 7 for name, data in runs[0].items()}

    def of(self, name, data, record, elsewhere=False):
        """Return "old", "new" or what is wrong of one file; ``record``: the one that stands beside it, or None;
        ``elsewhere``: made by a process of another kind, where the last digit of a number may differ."""
        if data == self.earlier.get(name):
            return "old"
        if name in self.same and (not elsewhere or name.endswith(".tif") or data == self.files[name]):
            return "new" if data == self.files[name] else "neither the earlier nor the new file"
        if name.endswith(RECORD):
            try:
                json.loads(data)
            except ValueError:
                return "a record that is not whole"
            return "new"
        made = {found["sha256"] for found in (record or {}).get("files_made", {}).values()}
        if hashlib.sha256(data).hexdigest() in made:
            return "new"
        beside = name.endswith((".qml", ".aux.xml"))
        return "new, or not whole" if not made or beside else "of another run, or not whole"

    def judge(self, folder, earlier, settled, elsewhere=False):
        """Return (state, problems) of the outputs in a folder: "old", "new", "none" or "between" (only where not
        ``settled``)."""
        now = standing(folder)
        records = []
        for name, data in now.items():
            if name.endswith(RECORD) and data != self.earlier.get(name):
                try:
                    records.append(json.loads(data))
                except ValueError:
                    pass
        record = {"files_made": {f"{i} {key}": value for i, found in enumerate(records)
                                 for key, value in found.get("files_made", {}).items()}} if records else None
        states, problems = {}, []
        for name in self.files:
            if name not in now:
                states[name] = "none"
                if earlier:
                    problems.append(f"{name} is lost")
                continue
            states[name] = self.of(name, now[name], record, elsewhere)
            if states[name] == "new, or not whole":
                states[name] = "new"
                if settled and not name.endswith((".qml", ".aux.xml")):
                    problems.append(f"{name} is in no record")
            elif states[name] not in ("old", "new"):
                problems.append(f"{name}: {states[name]}")
        problems += [f"{name} is no output" for name in now if name not in self.files]
        kinds = set(states.values())
        if settled and len(kinds) > 1:
            problems.append(f"mixed: {states}")
        return kinds.pop() if len(kinds) == 1 else "between", problems


def unreadable(folder):
    """Return the rasters of a folder that cannot be read to the last block."""
    from osgeo import gdal

    found = []
    for path in sorted(Path(folder).glob("*.tif")):
        dataset = gdal.Open(str(path))
        if dataset is None or any(dataset.GetRasterBand(i + 1).Checksum() is None or gdal.GetLastErrorType() > 2
                                  for i in range(dataset.RasterCount)):
            found.append(path.name)
    return found


def unrecorded(folder):
    """Return the outputs in a folder that are not what their record says they are."""
    found = []
    for path in sorted(Path(folder).glob(f"*{RECORD}")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name, made in record.get("files_made", {}).items():
            file = Path(folder) / os.path.basename(record["outputs"][name])
            # some steps of a chain make files that go with it
            if os.path.dirname(record["outputs"][name]) in ("", ".", str(folder)) and (
                    not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != made["sha256"]):
                found.append(f"{file.name} is not that of {path.name}")
    return found


def small_chain(out):
    """Return ({input: value}, {output: path}) of the chain on the sample, with few runs and rounds."""
    loader = SourceFileLoader("demo", str(ROOT / "scripts" / "demo"))
    demo = module_from_spec(spec_from_loader("demo", loader))
    loader.exec_module(demo)
    options = SimpleNamespace(runs=2, rounds=3, per_class=40, select_rounds=2, profile="defensible")
    given = defaultdict(list)
    for argument in demo.arguments(out, options):
        name, _, value = argument[2:].partition("=")
        given[name].append(value)
    return ({name: value for name, value in given.items() if name not in demo.OUTPUTS},
            {name: value for name, value in given.items() if name in demo.OUTPUTS})


# ---- the cases ------------------------------------------------------------------------------------------------------

class Faults:
    """All cases of one seed."""

    def __init__(self, folder, seed, form):
        self.folder, self.rng, self.sizes, self.form = Path(folder), random.Random(f"faults {seed}"), SIZES[form], form
        self.cases, self.breaches = defaultdict(Counter), []
        self.peak, self.longest, self._number = 0, (0, ""), 0
        (self.folder / "logs").mkdir(parents=True)
        self.qgis = load_qgis(self.folder / "profile")
        self.process = QgisProcess(self.folder / "process")
        self.log = self.folder / "logs" / "log"
        self._prepare()

    def _prepare(self):
        """Make the small world, the results of its chain where they are needed, and what each tool makes of them."""
        import processing

        self.world = small_world.build(self._fresh("world"))
        every = [name for name in self.qgis.definitions if name != "fullchain"]
        if self.form == "full":
            def chain():
                made = small_world.chain(self.world, processing.run)
                (self.folder / "made.json").write_text(json.dumps(made), encoding="utf-8")

            assert Child(chain, self.log).wait(300) == 0, self.log.read_text(encoding="utf-8")
            made = json.loads((self.folder / "made.json").read_text(encoding="utf-8"))
            self.calls = small_world.calls(self.world, made)
            # a new tool needs a call
            assert set(self.calls) == set(every), set(self.calls) ^ set(every)
        else:
            names, tools = defaultdict(lambda: defaultdict(str)), self.rng.sample(FIRST_TOOLS, 1)
            self.calls = {tool: {name: value for name, value in parameters.items() if value}
                          for tool, parameters in small_world.calls(self.world, names).items()
                          if tool in tools}
        self.before = checksums(self.world.folder)
        self.references = {tool: self._reference(tool) for tool in self.calls}

    def _fresh(self, name):
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def _reference(self, tool):
        runs = []
        for name in ("first", "second"):
            out = self._fresh("out")
            child = self._start(tool, self.calls[tool], out, 0, None)
            assert child.wait(120) == 0, (tool, child.said)
            runs.append(standing(out))
            assert not hidden(out), (tool, name, hidden(out))
            steps = int(re.search(f"{_STEPS_MARK}(\\d+)", child.said)[1])
        print(f"  {tool}: {child.seconds:.1f} s, {steps} steps, {len(runs[0])} files", flush=True)
        return Reference(runs, child.seconds, steps)

    def _start(self, tool, parameters, out, step=None, act=None, prepare=None, log=None):
        """Start a forked run that calls ``act`` before step ``step``, and ``prepare`` before all."""
        outputs = small_world.destinations(self.qgis.definitions[tool], out)

        def call():
            if prepare:
                prepare()
            tell = crashes.before_step(step, act) if step is not None else None
            code = run_tool(tool, {**parameters, **outputs})
            if tell:
                print(f"{_STEPS_MARK}{tell()}")
            return code

        return Child(call, log or self.log)

    def _number_of(self, kind, tool):
        """Return how many cases of a kind there are for a tool; fewer where a run takes long."""
        most = self.sizes[kind]
        return -(-most * 4 // 7) if self.references[tool].seconds > SLOW else most

    def _case(self, kind, tool, what):
        self._number += 1
        self._now = (kind, tool, what)

    def _breach(self, problem, said=""):
        self.breaches.append([*self._now, str(problem)[:600], said[-600:]])
        print("BREACH", *self._now, str(problem)[:300], flush=True)

    def _ended(self, child, code):
        """Count how a run ended and say what is wrong with that; return the outcome."""
        kind, tool, what = self._now
        self.peak = max(self.peak, child.peak)
        self.longest = max(self.longest, (child.seconds, " ".join(map(str, self._now))))
        said = child.said
        outcome = ("hangs" if code is None else "ended well" if code == 0 else "refused" if code == 1 else
                   f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit {code}")
        if outcome == "refused" and "cancelled" in said:
            outcome = "cancelled"
        self.cases[kind][outcome] += 1
        if code is None:
            self._breach(f"took more than {MOST_SECONDS} seconds", said)
        elif code not in (0, 1) and -code not in SIGNALS:
            self._breach(outcome, said)
        if "Traceback" in said:
            self._breach("a traceback", said)
        if code == 1:
            message = said.partition("ERROR: ")[2].partition(_STEPS_MARK)[0].strip()
            if not message.endswith(".") or any(text in message for text in _NO_SENTENCE):
                self._breach(f"no sentence: {message}")
        if child.left_behind():
            self._breach("a process is left")
        return outcome

    def _with_earlier(self, tool, place, earlier):
        for name, data in self.references[tool].earlier.items() if earlier else ():
            (place / name).write_bytes(data)

    def _settle(self, tool, out, earlier, ended_itself, again=True, elsewhere=False):
        """Judge the outputs after a case, after recovery, and after the next run."""
        reference = self.references[tool]
        state, problems = reference.judge(out, earlier, ended_itself, elsewhere)
        if ended_itself and hidden(out):
            problems.append(f"left {hidden(out)}")
        recover(str(out))
        state, more = reference.judge(out, earlier, True, elsewhere)
        problems += more + [f"cannot be read: {name}" for name in (unreadable(out) if state == "new" else ())]
        for problem in problems:
            self._breach(problem)
        if again:
            child = self._start(tool, self.calls[tool], out)
            code = child.wait()
            left = hidden(out)
            state_again, problems = reference.judge(out, False, settled=True)
            if code != 0 or left or state_again != "new" or problems:
                self._breach(f"the next run: code {code}, left {left}, {state_again}, {problems}", child.said)
        return state

    def kills(self, tool):
        """A signal at a moment of the clock, or before a step on the disk."""
        reference = self.references[tool]
        for number in range(self._number_of("kills", tool)):
            out, sent, earlier = self._fresh("out"), self.rng.choice(SIGNALS), self.rng.random() < 0.75
            self._with_earlier(tool, out, earlier)
            if number % 2:
                step = self.rng.randint(1, reference.steps)
                self._case("kill", tool, f"{sent.name} before step {step} of {reference.steps}")
                child = self._start(tool, self.calls[tool], out, step, lambda sent=sent: os.kill(os.getpid(), sent))
            else:
                moment = self.rng.uniform(0.02, 1.02) * reference.seconds
                self._case("kill", tool, f"{sent.name} after {moment:.2f} s")
                child = self._start(tool, self.calls[tool], out)
                if child.running(moment):
                    os.kill(child.pid, sent)
            code = child.wait()
            self._ended(child, code)
            # a run of some tools takes long
            self._settle(tool, out, earlier, code in (0, 1), again=reference.seconds < SLOW or number % 4 == 0)

    def real(self, tool):
        """A signal to the real qgis_process, which needs about a second and a half before it runs a tool."""
        for _ in range(self._number_of("real", tool)):
            out, sent = self._fresh("out"), self.rng.choice(SIGNALS)
            self._with_earlier(tool, out, True)
            moment = self.rng.uniform(0.5, 2.5) + self.rng.random() * self.references[tool].seconds
            self._case("kill of qgis_process", tool, f"{sent.name} after {moment:.2f} s")
            self._real(tool, self.calls[tool], small_world.destinations(self.qgis.definitions[tool], out), sent, moment)
            self._settle(tool, out, True, False, again=self.references[tool].seconds < SLOW,
                         elsewhere=True)

    def _real(self, tool, inputs, outputs, sent, moment):
        started = time.monotonic()
        process = self.process.start(tool, {**inputs, **outputs})
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        try:
            stdout, stderr = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            self._breach(f"went on for {MOST_SECONDS} seconds")
        code = process.returncode
        # until QGIS has loaded the plugin, SIGINT meets Python half begun, and QGIS may end by its own fault
        starting = sent == signal.SIGINT and code in (-signal.SIGABRT, -signal.SIGSEGV) and "Inputs" not in stdout
        outcome = ("ended well" if code == 0 else "cancelled" if code == 1 and "cancelled" in stderr else
                   "ended while QGIS started" if starting else f"exit {code}")
        self.cases[self._now[0]][outcome] += 1
        self.longest = max(self.longest, (time.monotonic() - started, " ".join(map(str, self._now))))
        if not starting and (code not in (0, 1, *(-number for number in SIGNALS)) or "Traceback" in stdout + stderr):
            self._breach(f"exit {code}", stdout + stderr)
        return code

    def chain(self):
        """A signal to the real qgis_process while it runs the whole chain, which is a set for each of its steps."""
        tool, out = "fullchain", self._fresh("chain")
        inputs, outputs = small_chain(out)
        self._case("chain", tool, "as it is")
        began = time.monotonic()
        done = self.process.run(tool, {**inputs, **outputs}, timeout=CHAIN_SECONDS)
        whole = time.monotonic() - began
        if done.code != 0:
            self._breach(f"exit {done.code}", done.stderr)
        print(f"  {tool}: {whole:.0f} s", flush=True)
        for _ in range(self.sizes["chain"]):
            before, sent = standing(out), self.rng.choice(SIGNALS)
            moment = self.rng.uniform(2, whole)
            self._case("kill of the chain", tool, f"{sent.name} after {moment:.1f} s")
            self._real(tool, inputs, outputs, sent, moment)
            recover(str(out))
            now = standing(out)
            problems = [f"left {hidden(out)}"] * bool(hidden(out)) + [f"{name} is lost" for name in before
                                                                     if name not in now] + unrecorded(out)
            for problem in problems + [f"cannot be read: {name}" for name in unreadable(out)]:
                self._breach(problem)
        done = self.process.run(tool, {**inputs, **outputs}, timeout=CHAIN_SECONDS)
        if done.code != 0 or hidden(out) or unrecorded(out) or standing(out).keys() != before.keys():
            self._breach(f"the next run: exit {done.code}, left {hidden(out)}, {unrecorded(out)}", done.stderr)

    def disk(self, tool):
        """Too little room for the outputs, on a small file system that holds the earlier ones."""
        reference = self.references[tool]
        size = sum(map(len, reference.files.values()))
        for number in range(self._number_of("disk", tool)):
            earlier = self.rng.random() < 0.5
            room = int(size * self.rng.choice([0, 0.1, 0.3, 0.6, 0.9, 1.2])) + (size * earlier)
            self._case("full disk", tool, f"{room} bytes, {'with' if earlier else 'without'} earlier results")
            with small_disk(self.folder / "disk", room + 4096 * (len(reference.files) * earlier + 2 + number)) as disk:
                if disk is None:
                    return
                self._with_earlier(tool, disk, earlier)
                child = self._start(tool, self.calls[tool], disk)
                code = child.wait()
                self._ended(child, code)
                self._settle(tool, disk, earlier, True, again=False)

    def temporary(self, tool):
        """A temporary disk without room."""
        for _ in range(self._number_of("temporary", tool)):
            out = self._fresh("out")
            self._with_earlier(tool, out, True)
            self._case("full temporary disk", tool, "")
            with small_disk(self.folder / "disk", 8192) as disk:
                if disk is None:
                    return
                (disk / "full").write_bytes(bytes(4096))

                def elsewhere(disk=disk):
                    os.environ["TMPDIR"] = str(disk)

                child = self._start(tool, self.calls[tool], out, prepare=elsewhere)
                code = child.wait()
                self._ended(child, code)
                self._settle(tool, out, True, True, again=False)
                if code != 0:
                    self._breach("outputs need no room there", child.said)
                if standing(disk).keys() != {"full"}:
                    self._breach(f"left {sorted(standing(disk))}")

    def readonly(self, tool):
        """A folder that cannot be written to."""
        for _ in range(self._number_of("readonly", tool)):
            self._case("read-only folder", tool, "")
            with small_disk(self.folder / "disk", 1 << 24) as disk:
                if disk is None:
                    return
                self._with_earlier(tool, disk, True)
                subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
                child = self._start(tool, self.calls[tool], disk)
                code = child.wait()
                self._ended(child, code)
                if code != 1:
                    self._breach(f"exit {code}", child.said)
                self._settle(tool, disk, True, True, again=False)

    def inputs(self, tool):
        """Inputs that are cut, changed or gone while a run is under way."""
        reference = self.references[tool]
        for number in range(self._number_of("inputs", tool)):
            own, out = self.folder / "own", self._fresh("out")
            shutil.rmtree(own, ignore_errors=True)
            shutil.copytree(self.world.folder, own)
            self._with_earlier(tool, out, True)
            call = _moved(self.calls[tool], str(self.world.folder), str(own))
            files = sorted({path for value in call.values() for path in (value if isinstance(value, list) else [value])
                            if isinstance(path, str) and os.path.isfile(path)})
            kind = ("cut", "changed", "gone")[number % 3]
            file, seed = self.rng.choice(files), self.rng.random()

            def act(kind=kind, file=file, seed=seed, own=own):
                spoil(kind, file, seed, own)

            if self.rng.random() < 0.5:
                step = self.rng.randint(1, reference.steps)
                self._case("input spoilt meanwhile", tool, f"{kind} before step {step}: {os.path.basename(file)}")
                child = self._start(tool, call, out, step, act)
            else:
                moment = self.rng.uniform(0.02, 0.9) * reference.seconds
                self._case("input spoilt meanwhile", tool, f"{kind} after {moment:.2f} s: {os.path.basename(file)}")
                child = self._start(tool, call, out)
                child.running(moment)
                act()
            code = child.wait()
            self._ended(child, code)
            # what is made of changed inputs has its own bytes: all old or all new is what can be told
            now = standing(out)
            old = {name for name, data in reference.earlier.items() if now.get(name) == data}
            if hidden(out) or (code == 1 and len(old) < len(reference.earlier)) or (code == 0 and old):
                self._breach(f"exit {code}, {len(old)} of {len(reference.earlier)} are old, left {hidden(out)}",
                             child.said)
            if code == 0 and unreadable(out):
                self._breach(f"cannot be read: {unreadable(out)}")

    def races(self, tool):
        """Two runs at the same outputs."""
        for _ in range(self._number_of("races", tool)):
            out, earlier = self._fresh("out"), self.rng.random() < 0.75
            self._with_earlier(tool, out, earlier)
            apart = self.rng.choice([0, 0, 0.1, 0.5, 1.0]) * self.references[tool].seconds
            self._case("two runs at once", tool, f"{apart:.2f} s apart")
            first = self._start(tool, self.calls[tool], out)
            time.sleep(apart)
            second = self._start(tool, self.calls[tool], out, log=self.folder / "logs" / "second")
            codes = []
            for child in (first, second):
                codes.append(child.wait(2 * MOST_SECONDS))
                self._ended(child, codes[-1])
                if codes[-1] == 1 and "is being written by another run" not in child.said:
                    self._breach("refused for another reason", child.said)
            state = self._settle(tool, out, earlier, True, again=False)
            if (0 in codes) != (state == "new"):
                self._breach(f"codes {codes}, and yet {state}")

    def clock(self, tool):
        """A run that was killed, and the clock moved by years before the next one."""
        reference = self.references[tool]
        for _ in range(self._number_of("clock", tool)):
            out, earlier = self._fresh("out"), True
            self._with_earlier(tool, out, earlier)
            step, years = self.rng.randint(reference.steps // 3, reference.steps), self.rng.choice([-40, -1, 1, 40])
            self._case("clock moved", tool, f"by {years} years after a kill before step {step}")
            child = self._start(tool, self.calls[tool], out, step, lambda: os.kill(os.getpid(), signal.SIGKILL))
            self._ended(child, child.wait())
            moved = time.time() + years * 365.25 * 86400
            for run in out.glob(".pti-run-*"):
                decided = (run / JOURNAL).exists()
                for path in [*run.rglob("*"), run]:
                    # by their times the new files of a decided run are known again, and no clock changes those
                    if not (decided and path.parent.name == "new"):
                        os.utime(path, (moved, moved))
            self._settle(tool, out, earlier, False)

    def files(self, tool):
        """Few files may be open."""
        for _ in range(self._number_of("files", tool)):
            out, most = self._fresh("out"), self.rng.choice([64, 96])
            self._with_earlier(tool, out, True)
            self._case("few open files", tool, f"{most}")

            def limit(most=most):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

            child = self._start(tool, self.calls[tool], out, prepare=limit)
            code = child.wait()
            self._ended(child, code)
            self._settle(tool, out, True, True, again=False)

    def memory(self, tool):
        """Little memory may be taken beyond what the process has when the tool begins."""
        for _ in range(self._number_of("memory", tool)):
            out, more = self._fresh("out"), self.rng.choice([1, 8, 64, 256, 512, 700, 1000, 1200, 1500])
            self._with_earlier(tool, out, True)
            self._case("little memory", tool, f"{more} MiB")

            def limit(more=more):
                has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (has + (more << 20), has + (more << 20)))

            child = self._start(tool, self.calls[tool], out, prepare=limit)
            code = child.wait()
            self._ended(child, code)
            self._settle(tool, out, True, code in (0, 1), again=False)

    def run(self):
        """Run all cases, of each kind in every tool."""
        started = time.monotonic()
        for kind in ("kills", "real", "disk", "temporary", "readonly", "inputs", "races", "clock", "files", "memory"):
            for tool in self.calls:
                if self.sizes[kind]:
                    getattr(self, kind)(tool)
            print(f"{kind}: {time.monotonic() - started:.0f} s, {len(self.breaches)} breaches", flush=True)
        if self.sizes["chain"]:
            self.chain()
        if checksums(self.world.folder) != self.before:
            now = checksums(self.world.folder)
            changed = [name for name in {*now, *self.before} if now.get(name) != self.before.get(name)]
            self._now = ("all", "", "")
            self._breach(f"inputs were touched: {changed}")


def _moved(value, start, to):
    """Return parameters with the folder of their files exchanged."""
    if isinstance(value, dict):
        return {key: _moved(item, start, to) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, start, to) for item in value]
    return value.replace(start, to) if isinstance(value, str) else value


def spoil(kind, file, seed, folder):
    """Cut or change a file, or move its folder away."""
    rng = random.Random(seed)
    if kind == "gone":
        os.rename(folder, f"{folder}-gone-{seed}")
        return
    size = os.path.getsize(file)
    if kind == "cut":
        os.truncate(file, int(size * rng.random()))
        return
    with open(file, "r+b") as stream:
        for _ in range(rng.randint(1, 60)):
            stream.seek(rng.randrange(size))
            stream.write(bytes([rng.randrange(256)]))


@contextmanager
def small_disk(folder, size):
    """A file system of ``size`` bytes, None where none can be mounted."""
    folder.mkdir(exist_ok=True)
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(4096, -(-size // 4096) * 4096)}", "tmpfs", folder],
        capture_output=True, check=False).returncode == 0
    if not mounted:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def main():
    """Run what the arguments say and print what was seen."""
    folder, seed, form = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    started = time.monotonic()
    faults = Faults(folder, seed, form)
    faults.run()
    for kind, outcomes in faults.cases.items():
        print(f"{kind:24} {sum(outcomes.values()):5}  "
              + ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common()))
    print(f"{len(faults.breaches)} breaches")
    print(f"longest case: {faults.longest[0]:.1f} s ({faults.longest[1]})")
    print(json.dumps({"cases": faults.cases, "breaches": faults.breaches, "peak_mib": faults.peak >> 20,
                      "seconds": round(time.monotonic() - started)}), flush=True)
    # QGIS and Python take their objects down in no order that always ends well
    os._exit(0)


if __name__ == "__main__":
    main()
