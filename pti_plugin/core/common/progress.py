"""How a run reports to whoever started it: progress, messages, and the question whether to stop."""

import threading

from .errors import Cancelled


class Progress:
    """A silent progress that never cancels; front ends override ``set``, ``info``, ``warn`` and ``cancelled``.

    Warnings are kept in ``warnings`` so that they reach the provenance record whatever the front end shows.
    """

    def __init__(self):
        self.warnings = []
        self._stop = threading.Event()

    def set(self, fraction):
        """Report the share of the work done, 0 to 1."""

    def info(self, message):
        """Tell the user something that is not a problem."""

    def warn(self, message):
        """Tell the user something that may be a problem, and remember it for the record."""
        self.warnings.append(message)

    def stop(self):
        """Ask the run to stop; used by signal handlers."""
        self._stop.set()

    def cancelled(self):
        """Return True once the run should stop."""
        return self._stop.is_set()

    def check(self):
        """Raise Cancelled if the run should stop."""
        if self.cancelled():
            raise Cancelled()

    def part(self, start, end):
        """Return a progress that maps its own 0–1 onto ``start``–``end`` of this one."""
        return _Part(self, start, end)


class _Part(Progress):
    def __init__(self, whole, start, end):
        super().__init__()
        self._whole, self._start, self._end = whole, start, end
        self.warnings = whole.warnings

    def set(self, fraction):
        self._whole.set(self._start + (self._end - self._start) * min(max(fraction, 0.0), 1.0))

    def info(self, message):
        self._whole.info(message)

    def warn(self, message):
        self._whole.warn(message)

    def stop(self):
        self._whole.stop()

    def cancelled(self):
        return self._whole.cancelled()
