"""The one family of errors the core raises.

Every message is a plain sentence that names the file, the value and the remedy, because it is shown to the
analyst as it stands. What it quotes of a file or a name is shown without characters that a screen acts on.
"""

from .escapes import for_message


class PtiError(Exception):
    """Base of every error the plugin raises on purpose."""

    def __str__(self):
        return for_message(super().__str__())


class InputError(PtiError):
    """An input cannot be used: a missing file, a wrong unit, a wrong code, a wrong number of layers."""


class GridError(InputError):
    """Rasters that must share a grid do not, or a raster has no usable grid at all."""


class OutputError(PtiError):
    """An output cannot be written: no permission, no space, or a path that is also an input."""


class DependencyError(PtiError):
    """A Python package that a tool needs is not installed."""


class Cancelled(PtiError):
    """The user, or a signal, stopped the run."""

    def __init__(self, message="The run was cancelled; no output was written."):
        super().__init__(message)
