"""How SIGINT ends qgis_process before a tool runs; a tool that runs takes the signal to clean up after itself."""

import signal
import threading


def end_by_signal():
    """Let SIGINT end the process at once, where nothing else was arranged.

    Python's own handler only asks for a KeyboardInterrupt, which is lost between the calls from QGIS, so that the run
    goes on and replaces results.
    """
    if threading.current_thread() is threading.main_thread() and \
            signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
