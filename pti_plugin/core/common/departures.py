"""Where the choices of a run depart from the paper: one table of what the paper states, held against the records.

resources/tables/paper_choices.csv has a line for every choice of every step: the tool, the role under which a later
step reads its result (empty: any), the name of the choice in the tool's record, the paper's value and the section that
states it, what the defensible profile does otherwise, and why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .resources import resource
from .tables import read_texts

#: tool → roles of inputs that only stand beside the map: what they are made of is no part of it
BESIDE = {"validateboreholes": frozenset({"COMPARISON", "START_COMPARISON", "OTHER_MAPS", "PRODUCTS_MAGT",
                                          "PRODUCTS_PP", "MAGT_TREND", "ALT_TREND"}),
          "predictxgboost": frozenset({"REFERENCE"}), "summarizezones": frozenset({"REFERENCE"})}
NOT_STATED, NOT_ON_RECORD = "not stated", "not on record"


@dataclass(frozen=True)
class PaperChoice:
    """What the paper does: ``value`` as text of the ``choice`` of ``tool`` where its result is read as ``role``.

    ``defensible``: the value of the defensible profile where it is another one, else empty.
    """

    tool: str
    role: str
    choice: str
    value: str
    section: str
    defensible: str

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
        """Why the defensible profile chooses ``used``, empty where only a user does."""
        if not self.choice.defensible or value_text(self.choice.defensible) != self.used:
            return ""
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
    return tuple(PaperChoice(row["tool"], row["role"], row["choice"], row["paper"], row["section"],
                             row["defensible"]) for row in _table())


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
        # all digits: seeds differ in their last one
        return str(value) if isinstance(value, int) else f"{float(value):.15g}"
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

    Steps of the same tool are compared that have the same part in both maps: read under the same roles, else under as
    many of the same ones as can be; of several that are read alike, those that differ. A step that only one map has on
    record has "no record" in the other; files that no step made are compared by their checksums.
    """
    one, two = _parts(first), _parts(second)
    found = []
    for part, other in _pairs(one, two):
        tool, roles = (part or other).tool, ", ".join(sorted({*(part or other).roles, *(other or part).roles}))
        values = [None if each is None else each.values for each in (part, other)]
        if None in values:
            found.append(Difference(tool, roles, "step", *("no record" if value is None else "on record"
                                                           for value in values)))
            continue
        found += [Difference(tool, roles, name, *texts) for name in dict.fromkeys((*values[0], *values[1]))
                  for texts in [tuple(value_text(value[name]) if name in value else NOT_ON_RECORD
                                      for value in values)] if texts[0] != texts[1]]
    return found


@dataclass(frozen=True)
class _Part:
    """A step of a map: the roles under which its result is read, and its values (``_values``)."""

    tool: str
    roles: frozenset[str]
    values: Mapping[str, object]


def _parts(steps: Sequence[Mapping]) -> list[_Part]:
    counted = _steps_of_the_map(steps)
    return [_Part(str(step.get("tool")),
                  frozenset(role for later, role in readers(number, steps) if later in counted
                            and not _beside(steps[later - 1], role)), _values(step))
            for number, step in enumerate(steps, 1) if number in counted]


def _pairs(one: Sequence[_Part], two: Sequence[_Part]) -> list[tuple[_Part | None, _Part | None]]:
    """Return the steps of two maps side by side, None where one has none of that part."""
    likeness = {(i, j): (first.roles == second.roles, len(first.roles & second.roles), first.values == second.values)
                for i, first in enumerate(one) for j, second in enumerate(two)
                if first.tool == second.tool and (first.roles == second.roles or first.roles & second.roles)}
    partner: dict[int, int] = {}
    for i, j in sorted(likeness, key=likeness.get, reverse=True):
        if i not in partner and j not in partner.values():
            partner[i] = j
    return [*((part, two[partner[i]] if i in partner else None) for i, part in enumerate(one)),
            *((None, part) for j, part in enumerate(two) if j not in partner.values())]


def _values(step: Mapping) -> dict[str, object]:
    """Return the choices of a step, and what it read from outside as {"files as ROLE": names and checksums}."""
    choices = step.get("choices")
    found = dict(choices) if isinstance(choices, Mapping) else {}
    files: dict[str, list] = {}
    for entry in step.get("inputs") or ():
        if not entry.get("step"):
            files.setdefault(f"files as {entry.get('role')}", []).extend(
                part.get("sha256") or part.get("path") for part in (entry, *(entry.get("files") or ())))
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
                  if entry.get("step") and not _beside(steps[number - 1], entry.get("role"))]
    return found


def _beside(step: Mapping, role: object) -> bool:
    """Return whether what a step reads as ``role`` only stands beside the map."""
    return role in BESIDE.get(str(step.get("tool")), ())
