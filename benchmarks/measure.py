"""Timing for benchmarks: medians of repeats, in seconds of the processor, and the rows of the table."""

import resource
import statistics
import time
from dataclasses import dataclass

REPEATS = 5


@dataclass
class Row:
    """One line of the table: what is done, ours and theirs in ``unit``, and the ratio to reach.

    ``reach``: least ratio theirs / ours, or, where ``at_most``, largest ratio ours / theirs; 0 where nothing is asked.
    ``note`` stands in for the numbers where there are none.
    """

    work: str
    against: str
    ours: float = 0.0
    theirs: float = 0.0
    unit: str = "µs a cell"
    reach: float = 0.0
    at_most: bool = False
    note: str = ""

    @property
    def ratio(self):
        """Theirs over ours, or ours over theirs where that is limited."""
        return self.ours / self.theirs if self.at_most else self.theirs / self.ours

    def line(self):
        """Return the row as Markdown."""
        if self.note:
            return f"| {self.work} | {self.against} | {self.note} | | | | |"
        asked = f"{'≤' if self.at_most else '≥'} {self.reach:g} ×" if self.reach else ""
        reached = "" if not self.reach else "yes" if (self.ratio <= self.reach) == self.at_most else "**no**"
        ratio = f"{self.ratio:.2f} ×" if self.at_most else f"{self.ratio:,.0f} ×"
        numbers = " | ".join(f"{_number(value)} {self.unit}" for value in (self.ours, self.theirs))
        return f"| {self.work} | {self.against} | {numbers} | {ratio} | {asked} | {reached} |"


HEAD = ("| work | against | ours | theirs | ratio | reach | reached |", "|---|---|---|---|---|---|---|")


def _number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def cpu_seconds():
    """Seconds of the processor this process has used, all threads, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def side_by_side(ours, theirs, repeats=REPEATS):
    """Return (seconds of ours, seconds of theirs): medians of runs taken in turn after one of each as warm-up.

    Taken in turn, both meet the same load of the machine.
    """
    taken = ([], [])
    for repeat in range(repeats + 1):
        for function, list_of in zip((ours, theirs), taken):
            start = time.process_time()
            function()
            if repeat:
                list_of.append(time.process_time() - start)
    return statistics.median(taken[0]), statistics.median(taken[1])
