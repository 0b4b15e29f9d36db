"""Lets code deep inside a block stop: a block may take seconds to compute, and a cancel is not to wait for its end.

Whoever runs a block says how to find out whether the run was stopped; readers and kernels ask between their steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_thread = threading.local()


@contextmanager
def stopped_by(check: Callable[[], None]) -> Iterator[None]:
    """Context in which ``check_stopped`` on this thread calls ``check``, which raises Cancelled to stop."""
    before = getattr(_thread, "check", None)
    _thread.check = check
    try:
        yield
    finally:
        _thread.check = before


def check_stopped() -> None:
    """Raise Cancelled where the run that this thread works for was stopped; does nothing outside of a run."""
    check = getattr(_thread, "check", None)
    if check is not None:
        check()
