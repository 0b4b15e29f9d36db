"""Checks what is read back from a file against a declared shape, before anything is made of it.

A shape is built of rules: ``number``, ``text``, ``flag``, ``listed``, ``record``, ``named``, ``optional``. ``check``
says in a sentence where a value departs from it. Nothing read is ever run, and no value is changed. The plugin must
work with what QGIS brings, which is not sure to hold a library for JSON schemas.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .errors import InputError

#: a rule gets a value and where it stands, and raises Mismatch
Rule = Callable[[Any, str], None]
#: letters of a text that names something, and of one that tells something
NAME, SENTENCE = 200, 20_000
_LARGEST = sys.float_info.max
#: letters of a value shown in a message
_SHOWN = 40
#: control characters but for tab and line ends; halves of letters, which no encoding can write
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Mismatch(ValueError):
    """A value is not of its shape; says where and what."""


def check(value: Any, rule: Rule, what: str) -> Any:
    """Return ``value`` where it keeps the rule; raises InputError: "{what}: {where} is …"."""
    try:
        rule(value, "")
    except Mismatch as error:
        raise InputError(f"{what}: {error}.") from None
    return value


def from_json(text: str | bytes, what: str) -> Any:
    """Return what JSON text holds; raises InputError for text that is none, or names a member twice."""
    try:
        return json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{what}: this is no JSON text ({str(error) or type(error).__name__}).") from error


def _members(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member has its name twice")
    return found


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, and with nothing that a screen or a log would act on."""
    text = value if isinstance(value, str) else type(value).__name__ if isinstance(value, (dict, list)) else repr(value)
    text = re.sub(r"\s", " ", _UNWRITABLE.sub("\ufffd", text[:_SHOWN + 1]))
    return f"'{text[:_SHOWN]}…'" if len(text) > _SHOWN else f"'{text}'"


def number(low: float | None = None, high: float | None = None, whole: bool = False) -> Rule:
    """A finite number from ``low`` to ``high``, a whole one where ``whole``; a truth value is no number."""
    kind = "whole number" if whole else "number"
    limits = "" if low is None and high is None else f" of at least {low:g}" if high is None else \
        f" of at most {high:g}" if low is None else f" from {low:g} to {high:g}"

    def rule(value: Any, where: str) -> None:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if good:
            # whole numbers of JSON have no end
            good = -_LARGEST <= value <= _LARGEST and (not whole or isinstance(value, int) or value.is_integer())
        if not good or (low is not None and value < low) or (high is not None and value > high):
            raise _wrong(where, value, f"a {kind}{limits}")

    return rule


def text(most: int = NAME, among: Collection | None = None, pattern: str = "", empty: bool = True) -> Rule:
    """A text of at most ``most`` letters without control characters, one of ``among``, or all of a ``pattern``."""
    def rule(value: Any, where: str) -> None:
        if not isinstance(value, str):
            raise _wrong(where, value, "a text")
        if len(value) > most:
            raise Mismatch(f"{where or 'it'} has {len(value):,} letters; {most:,} are the most")
        if _UNWRITABLE.search(value):
            raise _wrong(where, value, "a text without control characters")
        if not value and not empty:
            raise Mismatch(f"{where or 'it'} is empty")
        if among is not None and value not in among:
            raise _wrong(where, value, f"one of {', '.join(map(str, among))}")
        if pattern and not re.fullmatch(pattern, value):
            raise _wrong(where, value, "a text of the form it must have")

    return rule


def flag(value: Any, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")


def optional(rule: Rule) -> Rule:
    """What ``rule`` says, or nothing (null, an empty cell)."""
    def either(value: Any, where: str) -> None:
        if value is not None:
            rule(value, where)

    return either


def one_of(*rules: Rule) -> Rule:
    """What any of the rules says; the message is that of the last."""
    def either(value: Any, where: str) -> None:
        for rule in rules[:-1]:
            try:
                return rule(value, where)
            except Mismatch:
                continue
        return rules[-1](value, where)

    return either


def listed(rule: Rule, least: int = 0, most: int = 100_000) -> Rule:
    """A list of ``least`` to ``most`` items that keep ``rule``."""
    def of_all(value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)):
            raise _wrong(where, value, "a list")
        if not least <= len(value) <= most:
            raise Mismatch(f"{where or 'the list'} has {len(value):,} items; {least:,} to {most:,} may be there")
        for place, item in enumerate(value):
            rule(item, f"{where}[{place}]")

    return of_all


def record(needed: Mapping[str, Rule], allowed: Mapping[str, Rule] | None = None, others: Rule | None = None) -> Rule:
    """A mapping with the members ``needed``, perhaps some of ``allowed``, and others that keep ``others`` (None: any
    value)."""
    known = {**(allowed or {}), **needed}

    def rule(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(where, value, "a group of named values")
        for name in needed:
            if name not in value:
                raise Mismatch(f"{_member(where, name)} is missing")
        for name, item in value.items():
            inner = known.get(name, others)
            if inner is not None:
                inner(item, _member(where, name))

    return rule


def named(key: Rule, rule: Rule, most: int = 10_000) -> Rule:
    """A mapping of at most ``most`` members whose names keep ``key`` and whose values keep ``rule``."""
    def of_all(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(where, value, "a group of named values")
        if len(value) > most:
            raise Mismatch(f"{where or 'it'} has {len(value):,} members; {most:,} are the most")
        for name, item in value.items():
            key(name, f"a name in {where}" if where else "a name")
            rule(item, _member(where, name))

    return of_all


def plain(depth: int = 8, most: int = SENTENCE) -> Rule:
    """Any value of JSON, nested ``depth`` times at most, whose numbers are finite and whose texts can be shown."""
    words, value_of = text(most), number()

    def rule(value: Any, where: str, left: int = depth) -> None:
        if value is None or isinstance(value, bool):
            return
        if isinstance(value, str):
            words(value, where)
        elif isinstance(value, (dict, list)):
            if not left:
                raise Mismatch(f"{where or 'it'} is nested too deeply")
            for name, item in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(value, dict):
                    words(name, f"a name in {where}" if where else "a name")
                rule(item, _member(where, name) if isinstance(value, dict) else f"{where}[{name}]", left - 1)
        else:
            value_of(value, where)

    return rule


def _member(where: str, name: Any) -> str:
    name = shown(str(name))[1:-1]
    return f"{where}.{name}" if where else name


def _wrong(where: str, value: Any, wanted: str) -> Mismatch:
    given = "empty" if value is None else shown(value)
    return Mismatch(f"{where or 'it'} is {given}, not {wanted}")
