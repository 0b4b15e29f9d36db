"""Defaults of options and functions, and the constants that modules share, are as they were looked at.

A default is a promise to those who leave it out, and a shared constant holds in several places: neither changes unseen.
The list is tests/data/looked_at/stated_values.txt.
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re

import numpy as np

import pti_plugin.core
from support import assert_as_looked_at

#: letters of a value; longer ones are tables, which have tests of their own
LONGEST = 200
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def told(value):
    """Return a value as text that is the same everywhere, or None for what has none (functions, classes, drivers)."""
    if isinstance(value, (np.ndarray, np.generic)):
        return told(value.tolist())
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!r} {value.flags}"
    if isinstance(value, dict):
        parts = [(told(key), told(item)) for key, item in value.items()]
        return "{%s}" % ", ".join(f"{key}: {item or '…'}" for key, item in parts)
    if isinstance(value, (set, frozenset)):
        return "{%s}" % ", ".join(sorted(told(item) or "…" for item in value))
    if isinstance(value, (list, tuple)):
        return "(%s)" % ", ".join(told(item) or "…" for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return told({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    return None


def defaults(function):
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()
            if parameter.default is not inspect.Parameter.empty}


def stated(module):
    """Yield (name, value as text) of what a module itself states by public names, but for plain texts and tables."""
    assigned = {node.id for statement in ast.parse(inspect.getsource(module)).body
                if isinstance(statement, (ast.Assign, ast.AnnAssign))
                for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for name, value in sorted(vars(module).items()):
        if name.startswith("_"):
            continue
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            if defaults(value):
                yield f"{name}()", told(defaults(value))
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            if dataclasses.is_dataclass(value):
                fields = [field for field in dataclasses.fields(value) if field.default is not dataclasses.MISSING]
                yield name, told({field.name: field.default for field in fields})
            elif hasattr(value, "_field_defaults"):
                yield name, told(value._field_defaults)
            for method, function in sorted(vars(value).items()):
                if inspect.isfunction(function) and not dataclasses.is_dataclass(value) and defaults(function):
                    yield f"{name}.{method}()", told(defaults(function))
        elif name in assigned and not isinstance(value, str) and len(told(value) or "") in range(1, LONGEST):
            yield name, told(value)


def test_defaults_and_shared_constants_are_as_they_were_looked_at():
    lines = []
    for found in pkgutil.walk_packages(pti_plugin.core.__path__, "pti_plugin.core."):
        if not found.ispkg and not found.name.endswith("_numba"):
            lines += [f"{found.name[16:]}.{name} = {text}"
                      for name, text in stated(importlib.import_module(found.name)) if text != "{}"]
    assert_as_looked_at("stated_values.txt", "\n".join(lines) + "\n")
