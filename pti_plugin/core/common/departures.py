"""Where the choices of a run depart from the paper: one table of what the paper states, held against the records.

resources/tables/paper_choices.csv has a line for every choice of every step: the tool, the role under which a later
step reads its result (empty: any), the name of the choice in the tool's record, the paper's value and the section that
states it, and why the defensible profile does otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .resources import resource
from .tables import read_texts

#: roles of inputs that only stand beside the map: what they are made of is no part of it
BESIDE = frozenset({"COMPARISON", "START_COMPARISON"})
NOT_STATED = "not stated"


@dataclass(frozen=True)
class PaperChoice:
    """What the paper does: ``value`` as text of the ``choice`` of ``tool`` where its result is read as ``role``."""

    tool: str
    role: str
    choice: str
    value: str
    section: str

    def differs(self, used: object) -> bool:
        """Return whether ``used``, as a record holds it, is another value."""
        return value_text(used) != value_text(self.value)


@dataclass(frozen=True)
class Departure:
    """A choice of one step that is not the paper's; ``step`` counts the records from 1."""

    step: int
    choice: PaperChoice
    used: str

    @property
    def reason(self) -> str:
        """Why the defensible profile chooses otherwise, empty where only a user does."""
        return reasons().get((self.choice.tool, self.choice.choice), "")


@dataclass(frozen=True)
class Held:
    """What records say of the paper's choices.

    ``departures``: choices made otherwise; ``unknown``: (step, tool, choice) that a record does not hold; ``absent``:
    (tool, role) of steps of the paper without a record.
    """

    departures: tuple[Departure, ...]
    unknown: tuple[tuple[int, str, str], ...]
    absent: tuple[tuple[str, str], ...]

    @property
    def as_published(self) -> bool:
        """True where every step of the paper is on record and every choice is the paper's."""
        return not (self.departures or self.unknown or self.absent)


@lru_cache(maxsize=1)
def _table() -> tuple[Mapping[str, str], ...]:
    return tuple(read_texts(resource("tables", "paper_choices.csv")))


@lru_cache(maxsize=1)
def paper_choices() -> tuple[PaperChoice, ...]:
    """Return everything that the paper states of the steps, in the order of the table."""
    return tuple(PaperChoice(row["tool"], row["role"], row["choice"], row["paper"], row["section"])
                 for row in _table())


def reasons() -> dict[tuple[str, str], str]:
    """Return {(tool, choice): why the defensible profile departs from the paper}."""
    return {(row["tool"], row["choice"]): row["reason"] for row in _table() if row["reason"]}


def value_text(value: object) -> str:
    """Return a value of a record, or of the table, in the one way in which both are compared and shown."""
    if value in (None, ""):
        return "none given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def departures_of(tool: str, choices: Mapping[str, object], roles: Iterable[str] = ()) -> dict[str, dict[str, object]]:
    """Return {choice: {"used", "as_published"}} of one run whose result is read under ``roles``."""
    roles = {"", *roles}
    return {paper.choice: {"used": choices[paper.choice], "as_published": paper.value} for paper in paper_choices()
            if paper.tool == tool and paper.role in roles and paper.choice in choices
            and paper.differs(choices[paper.choice])}


def held_against_paper(steps: Sequence[Mapping]) -> Held:
    """Return what records say of the paper's choices.

    ``steps``: records, upstream first, the last one that of the run itself, with the numbers of the steps that made
    their inputs (core/common/provenance.py, collect_records). Steps whose results only stand beside the map, as those
    of a comparison, do not count.
    """
    counted = _steps_of_the_map(steps)
    departures, unknown, there = [], [], set()
    for number, step in enumerate(steps, 1):
        if number not in counted:
            continue
        tool, choices = str(step.get("tool")), step.get("choices")
        roles = {"", *(role for later, role in readers(number, steps) if later in counted)}
        for paper in paper_choices():
            if paper.tool != tool or paper.role not in roles:
                continue
            there.add((tool, paper.role))
            if not isinstance(choices, Mapping) or paper.choice not in choices:
                unknown.append((number, tool, paper.choice))
            elif paper.differs(choices[paper.choice]):
                departures.append(Departure(number, paper, value_text(choices[paper.choice])))
    asked = dict.fromkeys((paper.tool, paper.role) for paper in paper_choices())
    return Held(tuple(departures), tuple(unknown), tuple(step for step in asked if step not in there))


@dataclass(frozen=True)
class Difference:
    """What two runs have otherwise: ``choice`` of ``tool``, whose result is read as ``role``, and both values."""

    tool: str
    role: str
    choice: str
    first: str
    second: str

    @property
    def text(self) -> str:
        """The tool, what it is read as, and the choice."""
        return f"{self.tool}{f' ({self.role})' if self.role else ''}: {self.choice}"


def differences(first: Sequence[Mapping], second: Sequence[Mapping]) -> list[Difference]:
    """Return what the records behind two maps (collect_records of each) have otherwise.

    Choices are compared step by step, those of steps that only one map has with "not run"; files that no step made
    by their checksums.
    """
    one, two = _by_place(first), _by_place(second)
    found = []
    for place in dict.fromkeys((*one, *two)):
        values = [_values(steps.get(place)) for steps in (one, two)]
        if None in values:
            found.append(Difference(*place, "step", *("not run" if value is None else "run" for value in values)))
            continue
        found += [Difference(*place, name, *texts) for name in dict.fromkeys((*values[0], *values[1]))
                  for texts in [tuple(value_text(value.get(name)) for value in values)] if texts[0] != texts[1]]
    return found


def _by_place(steps: Sequence[Mapping]) -> dict[tuple[str, str], Mapping]:
    """Return {(tool, roles under which its result is read): record} of the steps of a map."""
    counted = _steps_of_the_map(steps)
    return {(str(step.get("tool")), ", ".join(sorted({role for later, role in readers(number, steps)
                                                      if later in counted}))): step
            for number, step in enumerate(steps, 1) if number in counted}


def _values(step: Mapping | None) -> dict[str, object] | None:
    """Return the choices of a step, and what it read from outside as {"files as ROLE": names and checksums}."""
    if step is None:
        return None
    found = dict(step.get("choices") or {})
    files: dict[str, list] = {}
    for entry in step.get("inputs") or ():
        if not entry.get("step"):
            files.setdefault(f"files as {entry.get('role')}", []).append(entry.get("sha256") or entry.get("path"))
    for name, sums in files.items():
        digest = hashlib.sha256("".join(sorted(map(str, sums))).encode()).hexdigest()[:8]
        found[name] = f"{len(sums)} file{'s' if len(sums) > 1 else ''}, {digest}"
    return found


def readers(number: int, steps: Sequence[Mapping]) -> list[tuple[int, str]]:
    """Return [(later step, role)] under which the results of a step are read."""
    return [(later, str(entry.get("role"))) for later, step in enumerate(steps, 1)
            for entry in step.get("inputs") or () if entry.get("step") == number]


def _steps_of_the_map(steps: Sequence[Mapping]) -> set[int]:
    """Return the numbers of the last step and of all that it is made of, without what only stands beside it."""
    found: set[int] = set()
    ahead = [len(steps)] if steps else []
    while ahead:
        number = ahead.pop()
        if number in found:
            continue
        found.add(number)
        ahead += [int(entry["step"]) for entry in steps[number - 1].get("inputs") or ()
                  if entry.get("step") and entry.get("role") not in BESIDE]
    return found
