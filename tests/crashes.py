"""Runs that die at a chosen step, and runs that race: a program, so that it can fork without what pytest has loaded.

    crashes.py crash FOLDER        a commit that dies before every single step on the disk, then recovery that dies so
    crashes.py race FOLDER N       N times two runs at one set of outputs
Prints what it saw as JSON.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pti_plugin.core.common.commit_journal import recover  # noqa: E402
from pti_plugin.core.common.errors import OutputError  # noqa: E402
from pti_plugin.core.common.staging import Staging  # noqa: E402

#: everything by which the disk is changed
STEPS = ("replace", "rename", "link", "remove", "unlink", "rmdir", "mkdir", "open", "write", "fsync")
#: earlier files of each case and the new ones; in the second the run fills two folders, in the third it makes new files
CASES = {
    "one folder": ({"a.tif": "old", "a.tif.ovr": "stale", "b.csv": "old", "u.txt": "user"},
                   {"a.tif": "new", "b.csv": "new", "c.csv": "new"}),
    "two folders": ({"x/a.tif": "old", "x/a.qml": "stale", "y/b.csv": "old"},
                    {"x/a.tif": "new", "y/b.csv": "new", "y/c.csv": "new"}),
    "no earlier files": ({"x/u.txt": "user"}, {"x/a.tif": "new", "x/b.csv": "new"}),
}


def standing(folder):
    """Return {path: text} of the files below a folder that are not in the working folders of runs."""
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and ".pti-run-" not in str(path)}


def hidden(folder):
    return [str(path) for path in Path(folder).rglob(".pti-run-*")]


def fresh(folder, earlier):
    shutil.rmtree(folder, ignore_errors=True)
    for place in ("x", "y"):
        (folder / place).mkdir(parents=True)
    for name, text in earlier.items():
        (folder / name).write_text(text, encoding="utf-8")


def run(folder, new):
    with Staging() as staging:
        for name, text in new.items():
            staging.write_text(folder / name, text)
        staging.commit()


def recover_all(folder):
    for place in (folder / "y", folder / "x", folder):
        recover(str(place))


def before_step(step, act):
    """From now on call ``act`` before step number ``step`` on the disk; return a function that tells the steps so far.
    """
    count = 0

    def counted(original):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count == step:
                act()
            return original(*arguments, **options)
        return call

    # a step to die at, but slow, and without effect on what other processes see
    os.fsync = lambda handle: None
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: count


def dying(function, step):
    """Call a function in a process that dies before its step number ``step``; return True where it came to the end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before_step(step, lambda: os._exit(9))
    try:
        function()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(3)
    os._exit(0)


def crash(folder):
    """Return what was seen, and every breach of 'all or none'."""
    seen = {"crashes": 0, "finished": 0, "undone": 0, "breaches": []}
    for case, (earlier, new) in CASES.items():
        stale = {name for name, text in earlier.items() if text == "stale"}
        wanted = {**{name: text for name, text in earlier.items() if name not in stale}, **new}
        step = 0
        while True:
            step += 1
            fresh(folder, earlier)
            if dying(lambda new=new: run(folder, new), step):
                break
            seen["crashes"] += 1
            between = standing(folder)
            # at every moment each path has its earlier file or its new one, whole
            if any(between.get(name, new.get(name)) not in (text, new.get(name)) or name not in between
                   for name, text in earlier.items() if name not in stale):
                seen["breaches"].append([case, step, "between", between])
            again = 0
            while True:
                again += 1
                # recovery dies too, at every of its steps, and is done by the next run
                if dying(lambda: recover_all(folder), again):
                    break
                seen["crashes"] += 1
            after = standing(folder)
            if after not in (earlier, wanted) or hidden(folder):
                seen["breaches"].append([case, step, "after", after, hidden(folder)])
            seen["finished" if after == wanted else "undone"] += 1
    return seen


def race(folder, times):
    """Return what was seen: how often both ended well, how often one was refused, and every breach."""
    seen = {"both": 0, "one": 0, "none": 0, "breaches": []}
    names = [f"{place}/{name}" for place in "xy" for name in ("a.tif", "b.csv", "c.csv")]
    for number in range(times):
        fresh(folder, dict.fromkeys(names, "old"))
        begin = time.monotonic() + 0.02
        children = []
        for own in ("first", "second"):
            child = os.fork()
            if not child:
                # at the same moment, or up to the length of a run apart
                time.sleep(max(0, begin - time.monotonic() + (number % 7) * 0.004 * (own == "second")))
                os.fsync = lambda handle: None
                try:
                    with Staging() as staging:
                        staging.reserve(*(folder / name for name in names[:4]))
                        time.sleep((0, 0.02, 0.5)[number % 3])
                        for name in names:
                            staging.write_text(folder / name, own)
                        staging.commit()
                except OutputError as error:
                    os._exit(1 if "being written by another run" in str(error) else 2)
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        seen[("none", "one", "both")[codes.count(0)]] += 1
        texts = set(standing(folder).values())
        expected = {own for own, code in zip(("first", "second"), codes) if code == 0} or {"old"}
        if len(texts) != 1 or not texts <= expected or hidden(folder) or not set(codes) <= {0, 1}:
            seen["breaches"].append([number, codes, sorted(texts), hidden(folder)])
    return seen


if __name__ == "__main__":
    place = Path(sys.argv[2]).resolve()
    print(json.dumps(crash(place) if sys.argv[1] == "crash" else race(place, int(sys.argv[3]))))
