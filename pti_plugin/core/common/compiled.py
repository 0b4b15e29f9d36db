"""How the compiled kernels are compiled. Imported, with numba, only by modules that are themselves imported lazily."""

from numba import njit


def compiled(function):
    """Decorate a kernel: compiled when it is first called, without the interpreter's lock.

    The code is cached beside the kernel's file or, where the plugin folder is read-only, in the user's cache folder.
    """
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # no folder can be written, not even in the user's home: compiled anew in every session
        return njit(nogil=True, error_model="numpy")(function)
