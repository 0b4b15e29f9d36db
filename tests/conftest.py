"""Fixtures shared by all tests. Nothing here imports QGIS until a test asks for it."""

import os
import sys

import pytest

from support import ROOT, QgisProcess

os.environ["QT_QPA_PLATFORM"] = "offscreen"
# pyproj, against which areas and distances are checked, does not look there when it runs in a virtual environment
if os.path.isfile("/usr/share/proj/proj.db"):
    os.environ.setdefault("PROJ_DATA", "/usr/share/proj")


#: files of tests that take longest, which begin first, so that no worker is left with one of them at the end
LONGEST = ("test_dataset.py", "test_chain.py", "test_model.py", "test_benchmarks.py", "test_bad_input.py",
           "test_interrupted.py", "test_mann_kendall.py", "test_tools.py", "test_delivered.py", "test_zip.py")


def pytest_collection_modifyitems(items):
    """Put the longest files first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data beside the repository; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data set is not here (a folder shared/data beside the repository)")
    return folder


@pytest.fixture(scope="session")
def qgis_app(tmp_path_factory):
    """A QgsApplication without a screen and with an empty profile."""
    os.environ["QGIS_CUSTOM_CONFIG_PATH"] = str(tmp_path_factory.mktemp("profile"))
    from qgis.core import QgsApplication

    application = QgsApplication([], True)
    application.initQgis()
    # Processing is a plugin of QGIS, kept in its data folder and not among Python's packages.
    sys.path.append(os.path.join(QgsApplication.pkgDataPath(), "python", "plugins"))
    # not taken down again: the traceback of a failed test may hold objects that exitQgis would delete under it
    return application


@pytest.fixture(scope="session")
def provider(qgis_app):
    """PTI's Processing provider, registered beside QGIS's own ones."""
    from processing.core.Processing import Processing

    from pti_plugin.provider import PtiProvider

    Processing.initialize()
    registered = PtiProvider()
    if not qgis_app.processingRegistry().addProvider(registered):
        raise RuntimeError("Processing refused the provider")
    # The bundled model finds its steps only once the provider itself is known.
    registered.refreshAlgorithms()
    return registered


@pytest.fixture(scope="session")
def qgis_process(tmp_path_factory):
    """qgis_process as a function of a list of arguments, with one scratch profile a session."""
    return QgisProcess(tmp_path_factory.mktemp("profile"))


def pytest_sessionfinish(session, exitstatus):
    """Remember the exit code for the end of the process."""
    session.config.exit_code = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Leave at once where QGIS was started: its objects outlive Python's in no order that always ends well."""
    if "qgis.core" in sys.modules and hasattr(config, "exit_code"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.exit_code)
