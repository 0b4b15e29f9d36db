"""The rules of the code base, read from its syntax trees; each rule is shown to find a planted breach."""

import ast
from functools import cache

import pytest

from support import ROOT

PLUGIN = ROOT / "pti_plugin"
#: compiled kernels, loaded only where numba is there
LAZY = {"pti_plugin.core.common.compiled", "pti_plugin.core.series.trend_numba", "pti_plugin.core.mapping.tree_numba",
        "pti_plugin.core.samples.sampling_numba", "pti_plugin.core.rasters.resampling_numba"}
HEAVY = {"xgboost", "sklearn", "shap", "scipy", "matplotlib", "numba", "pymannkendall", "pandas", "cftime", "xarray",
         "netCDF4"}
QT = {"PyQt5", "PyQt6", "PySide2", "PySide6", "sip"}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "subprocess", "random",
                  "pty", "commands"}
#: modules whose products are of whole numbers, or only choose, or are shown in a few digits
ROUNDED = {"pti_plugin.core.mapping.coverage", "pti_plugin.core.samples.sampling",
           "pti_plugin.core.series.corrections", "pti_plugin.core.reporting.figures"}
BANNED_NAMES = {"eval", "exec", "__import__"}
BANNED_OF_OS = {"system", "popen", "fork", "forkpty", "startfile"}


@cache
def parsed(source):
    """Return the syntax tree of a text; every rule looks at every file."""
    return ast.parse(source)


def source_files(folder=PLUGIN):
    """Return {dotted module name: source text} below ``folder``, which is the package pti_plugin or part of it."""
    files = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(PLUGIN)
        if inside.parts[0] == "resources" or "__pycache__" in inside.parts:
            continue
        parts = ("pti_plugin", *inside.with_suffix("").parts)
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return files


def imported(module, node, package=False):
    """Return the dotted names that an Import or ImportFrom node in ``module`` reaches for, made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parent = module.split(".")
        parent = parent[:len(parent) - node.level + (1 if package else 0)]
        base = ".".join([*parent, base] if base else parent)
    return [f"{base}.{alias.name}" for alias in node.names]


def imports(module, source):
    """Yield (line, name) of every import, also those by name: import_module("x") and require("x", …)."""
    package = module in PACKAGES
    for node in ast.walk(parsed(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in imported(module, node, package):
                yield node.lineno, name
        elif name_imported_by_call(node):
            yield node.lineno, name_imported_by_call(node)


def name_imported_by_call(node):
    """Return the module named in a call of import_module, __import__ or require; None for any other node."""
    if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
        return None
    called = getattr(node.func, "attr", getattr(node.func, "id", None))
    value = node.args[0].value
    return value if called in ("import_module", "__import__", "require") and isinstance(value, str) else None


PACKAGES = {"pti_plugin"} | {
    ".".join(("pti_plugin", *path.parent.relative_to(PLUGIN).parts)) for path in PLUGIN.rglob("__init__.py")}


def core_reaches_out(module, source):
    """Core may import neither QGIS nor anything of the plugin outside core."""
    found = []
    for line, name in imports(module, source):
        parts = name.split(".")
        if parts[0] in QT | {"qgis", "processing"} or (
                parts[0] == "pti_plugin" and parts[:2] != ["pti_plugin", "core"]):
            found.append(f"{module}:{line} imports {name}")
    return found


def heavy_at_import(module, source):
    """Heavy packages may be imported only inside functions, so that one that is missing stops only its own tools.

    A module of LAZY may import them as it is loaded, and must itself be imported only inside functions.
    """
    found = []

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for part in node.args.defaults + getattr(node, "decorator_list", []):
                visit(part)
            return
        names = []
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = imported(module, node, module in PACKAGES)
        elif name_imported_by_call(node):
            names = [name_imported_by_call(node)]
        found.extend(f"{module}:{node.lineno} imports {name} when it is loaded"
                     for name in names
                     if module not in LAZY and (name in LAZY or name.rpartition(".")[0] in LAZY
                                                or name.split(".")[0] in HEAVY))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(parsed(source))
    return found


def qt_directly(module, source):
    """Qt comes only through qgis.PyQt, which is the same on Qt 5 and Qt 6."""
    return [f"{module}:{line} imports {name}" for line, name in imports(module, source) if name.split(".")[0] in QT]


def dangerous(module, source):
    """No pickle, no other process, no shell, no code from text, no unseeded random."""
    found = [f"{module}:{line} imports {name}" for line, name in imports(module, source)
             if name.split(".")[0] in BANNED_MODULES]
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            found.extend(f"{module}:{node.lineno} imports os.{alias.name}"
                         for alias in node.names if leaves_process(alias.name))
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in BANNED_NAMES:
            found.append(f"{module}:{node.lineno} calls {node.func.id}")
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and (
                node.func.value.id == "os" and leaves_process(node.func.attr)):
            found.append(f"{module}:{node.lineno} calls os.{node.func.attr}")
        for keyword in node.keywords:
            if keyword.arg in ("shell", "allow_pickle") and getattr(keyword.value, "value", True) is not False:
                found.append(f"{module}:{node.lineno} passes {keyword.arg}")
    return found


def leaves_process(name):
    """Say whether the function of module os called ``name`` starts another process."""
    return name in BANNED_OF_OS or name.startswith(("exec", "spawn", "posix_spawn"))


def multiplies_by_blas(module, source):
    """Products of matrices of real numbers, whose last digit depends on the process and on the machine."""
    found = [node.lineno for node in ast.walk(parsed(source)) if isinstance(node, ast.BinOp)
             and isinstance(node.op, ast.MatMult) or isinstance(node, ast.Attribute)
             and node.attr in ("dot", "vdot", "matmul", "einsum", "tensordot", "linalg")]
    return [f"{module}:{line} multiplies by BLAS" for line in sorted(set(found)) if module not in ROUNDED]


def asserts(module, source):
    """An assert vanishes under python -O; errors are raised instead."""
    return [f"{module}:{node.lineno} asserts" for node in ast.walk(parsed(source)) if isinstance(node, ast.Assert)]


def swallowed(module, source):
    """No error of whatever kind is passed over in silence."""
    found = []
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or getattr(node.type, "id", None) in ("Exception", "BaseException")
            if node.type is None or (broad and all(isinstance(part, (ast.Pass, ast.Continue)) for part in node.body)):
                found.append(f"{module}:{node.lineno} swallows every error")
    return found


#: the packages of the core in the order of the method, as core/__init__.py explains them
ORDER = ("common", "rasters", "series", "ensembles", "index", "samples", "assessment", "learning", "mapping", "insitu",
         "zonal", "reporting")


def reaches_up(module, source):
    """A package of the core imports only from those before it."""
    own = module.split(".")[2:3]
    found = []
    for line, name in imports(module, source):
        parts = name.split(".")
        if own and parts[:2] == ["pti_plugin", "core"] and ORDER.index(parts[2]) > ORDER.index(own[0]):
            found.append(f"{module}:{line} imports {name}")
    return found


#: methods and functions that give stored values of a raster, and those that say what the values mean
READS = {"ReadAsArray", "ReadRaster", "ReadRaster1", "ReadBlock", "GetVirtualMemArray", "GetVirtualMem", "Warp",
         "WarpedVRT", "AutoCreateWarpedVRT", "ReprojectImage", "BuildVRT"}
MEANS = {"GetNoDataValue", "GetScale", "GetOffset", "GetMaskFlags", "GetMaskBand", "GetUnitType"}
#: who may: the reader, what it rests on, the writer, which reads its own file back, and what reads coordinates
CELL_READERS = {"pti_plugin.core.rasters.raster": {"ReadAsArray"},
                "pti_plugin.core.rasters.blocks": {"ReadAsArray"},
                "pti_plugin.core.rasters.dimensions": {"ReadAsArray", "GetScale", "GetOffset"},
                "pti_plugin.core.rasters.encoding": {"ReadAsArray"} | MEANS}


def reads_cells(module, source):
    """One reader: nothing else takes stored values from GDAL, or decides what they mean."""
    allowed = CELL_READERS.get(module, set())
    return [f"{module}:{node.lineno} calls {node.attr}" for node in ast.walk(parsed(source))
            if isinstance(node, ast.Attribute) and node.attr in (READS | MEANS) - allowed]


def undocumented(module, source):
    """Every public function and class of a module has a docstring."""
    return [f"{module}:{node.lineno} {node.name} has no docstring" for node in parsed(source).body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and not node.name.startswith("_") and not ast.get_docstring(node)]


#: the only modules that read times: of dimensions, of coordinates, of names, and the axis that joins them
READS_TIME = {f"pti_plugin.core.rasters.{name}" for name in ("dimensions", "time_decoding", "stamp_names", "time_axis")}
#: those that only the others of READS_TIME ask
READERS = {f"pti_plugin.core.rasters.{name}" for name in ("time_decoding", "stamp_names")}
#: what reads the times in tables of stations, which are no rasters, and the clock of the record
OTHER_CLOCKS = ("pti_plugin.core.insitu", "pti_plugin.core.common.provenance")
CLOCKS = {"cftime", "datetime", "calendar", "dateutil", "pandas"}
#: where a raster says when it is
TIMES_OF_GDAL = ("NETCDF_DIM", "GRIB_VALID_TIME", "GRIB_REF_TIME", "#units", "#calendar", "TIFFTAG_DATETIME")
#: parts of a pattern that finds years or months in a text
PATTERNS_OF_TIME = ("18|19|20", "19|20", "[12]\\d{3}", "(19", "(20", "1[0-2]", "3[01]", "%Y", "%m", "%d.", "%j")
READING = {"strptime", "fromisoformat", "fromtimestamp", "to_datetime", "datetime64"}


def reads_times(module, source):
    """What a file means by a time is decided in READS_TIME alone; a message or a help may name a form of it."""
    if module in READS_TIME or module.startswith(OTHER_CLOCKS):
        return []
    found = [f"{module}:{line} imports {name}" for line, name in imports(module, source)
             if name.split(".")[0] in CLOCKS or {name, name.rpartition(".")[0]} & READERS]
    for node in ast.walk(parsed(source)):
        called = getattr(getattr(node, "func", None), "attr", None)
        if called in READING:
            found.append(f"{module}:{node.lineno} calls {called}")
        texts = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (
                getattr(node.func.value, "id", None) in ("re", "fnmatch")):
            # the pieces of plain and of formatted patterns
            texts = [part.value for argument in node.args[:1] for part in ast.walk(argument)
                     if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            found.extend(f"{module}:{node.lineno} matches {text}" for text in texts
                         if any(piece in text for piece in PATTERNS_OF_TIME))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.extend(f"{module}:{node.lineno} reads {key}" for key in TIMES_OF_GDAL
                         if key in node.value and (key != "#units" or node.value != "#units"))
    return found


def cycles(files):
    """Return the circles of imports among ``files``, each as the list of modules along it."""
    graph = {}
    for module, source in files.items():
        targets = set()
        for _, name in imports(module, source):
            # 'from . import ranks' reaches the module ranks, 'from .ranks import CODES' a name inside it.
            target = name if name in files else name.rpartition(".")[0]
            if target in files and target != module:
                targets.add(target)
        graph[module] = sorted(targets)
    found, done = [], set()

    def follow(module, path):
        if module in path:
            found.append([*path[path.index(module):], module])
            return
        if module in done:
            return
        for target in graph[module]:
            follow(target, [*path, module])
        done.add(module)

    for module in graph:
        follow(module, [])
    return found


CORE_RULES = [core_reaches_out, reaches_up, undocumented]
RULES = [heavy_at_import, qt_directly, dangerous, multiplies_by_blas, asserts, swallowed, reads_cells, reads_times]
CORE = source_files(PLUGIN / "core")
ALL = source_files()


def test_the_rules_are_read_on_real_files():
    assert {"pti_plugin.core", "pti_plugin.core.common.errors", "pti_plugin.core.common.ranks"} <= set(CORE)
    assert set(CORE) <= set(ALL)


@pytest.mark.parametrize("rule", CORE_RULES, ids=lambda rule: rule.__name__)
def test_core_keeps_the_rule(rule):
    assert [breach for module, source in CORE.items() for breach in rule(module, source)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_plugin_keeps_the_rule(rule):
    assert [breach for module, source in ALL.items() for breach in rule(module, source)] == []


def test_imports_inside_core_run_one_way():
    assert cycles(CORE) == []


def test_the_packages_of_the_core_are_those_it_explains_in_their_order():
    told = ast.get_docstring(ast.parse(CORE["pti_plugin.core"])).splitlines()[2:]
    assert tuple(line.split()[0] for line in told) == ORDER
    assert {module.split(".")[2] for module in CORE if module.count(".") > 1} == set(ORDER)


@pytest.mark.parametrize("source", ["from ..learning.training import train", "def run():\n    from .. import mapping",
                                    "import pti_plugin.core.learning.folds"])
def test_an_import_up_the_order_is_found(source):
    assert reaches_up("pti_plugin.core.index.pti", source)
    assert reaches_up("pti_plugin.core.insitu.pairing", source) == []


BREACHES = [
    (core_reaches_out, "import qgis.core"),
    (core_reaches_out, "from qgis.core import QgsRasterLayer"),
    (core_reaches_out, "def run():\n    from qgis import utils"),
    (core_reaches_out, "from ...algorithms import buildpti"),
    (core_reaches_out, "from ... import provider"),
    (core_reaches_out, "import pti_plugin.provider"),
    (core_reaches_out, "import importlib\nimportlib.import_module('qgis.core')"),
    (core_reaches_out, "import processing"),
    (heavy_at_import, "import scipy.stats"),
    (heavy_at_import, "from sklearn.model_selection import KFold"),
    (heavy_at_import, "try:\n    import numba\nexcept ImportError:\n    numba = None"),
    (heavy_at_import, "class Model:\n    import xgboost"),
    (heavy_at_import, "if True:\n    from matplotlib import pyplot"),
    (heavy_at_import, "from .packages import require\nstats = require('scipy.stats', 'statistics')"),
    (heavy_at_import, "from . import trend_numba"),
    (heavy_at_import, "from .trend_numba import trend"),
    (heavy_at_import, "def run(shap=require('shap', 'plots')):\n    return shap"),
    (qt_directly, "from PyQt5.QtCore import Qt"),
    (qt_directly, "def dialog():\n    import PyQt6.QtWidgets"),
    (dangerous, "import pickle"),
    (dangerous, "def load():\n    from joblib import load"),
    (dangerous, "import subprocess as s"),
    (dangerous, "from random import shuffle"),
    (dangerous, "eval('1')"),
    (dangerous, "exec('1')"),
    (dangerous, "__import__('os')"),
    (dangerous, "import os\nos.system('ls')"),
    (dangerous, "import os\nos.execv('a', [])"),
    (dangerous, "from os import popen"),
    (dangerous, "run('ls', shell=True)"),
    (dangerous, "import numpy as np\nnp.load('a.npy', allow_pickle=True)"),
    (multiplies_by_blas, "def run(x, y):\n    return x @ y"),
    (multiplies_by_blas, "import numpy as np\nshare = np.dot(x, y)"),
    (asserts, "def run(x):\n    assert x"),
    (swallowed, "try:\n    run()\nexcept:\n    stop()"),
    (swallowed, "try:\n    run()\nexcept Exception:\n    pass"),
    (swallowed, "for x in y:\n    try:\n        run()\n    except BaseException:\n        continue"),
    (reads_cells, "values = dataset.GetRasterBand(1).ReadAsArray()"),
    (reads_cells, "read = band.ReadAsArray\nread(0, 0, 1, 1)"),
    (reads_cells, "nodata = band.GetNoDataValue()"),
    (reads_cells, "gdal.Warp('', dataset)"),
    (undocumented, "def median(values):\n    return values"),
    (undocumented, "class Grid:\n    size = 1"),
    (reads_times, "import cftime"),
    (reads_times, "def run():\n    cftime = require('cftime', 'time')"),
    (reads_times, "from datetime import datetime"),
    (reads_times, "from ..rasters.stamp_names import stamp_in"),
    (reads_times, "from ..rasters import time_decoding"),
    (reads_times, "import re\nYEAR = re.compile(r'(?:18|19|20)\\d\\d')"),
    (reads_times, "import re\ndef run(name, y):\n    return re.findall(rf'{y}-(1[0-2])', name)"),
    (reads_times, "def run(text):\n    return clock.strptime(text, form)"),
    (reads_times, "def run(band):\n    return band.GetMetadataItem('NETCDF_DIM_time')"),
    (reads_times, "def run(band, name):\n    return band.GetMetadataItem(f'NETCDF_DIM_{name}')"),
    (reads_times, "def run(data):\n    return data.GetMetadataItem('time#units')"),
    (reads_times, "def run(band):\n    return band.GetMetadata()['GRIB_VALID_TIME']"),
]


@pytest.mark.parametrize("rule, source", BREACHES)
def test_a_planted_breach_is_found(rule, source):
    assert rule("pti_plugin.core.series.planted", source)


KEPT = [
    (core_reaches_out, "import numpy\nfrom . import ranks\nfrom .errors import InputError\nfrom osgeo import gdal"),
    (heavy_at_import, "def run():\n    import scipy\n    return require('shap', 'plots')"),
    (qt_directly, "from qgis.PyQt.QtCore import Qt"),
    (dangerous, "import os\nos.replace('a', 'b')\nnp.load('a.npy', allow_pickle=False)\nnp.random.default_rng(1)"),
    (swallowed, "try:\n    run()\nexcept OSError:\n    pass"),
    (reads_cells, "from ..rasters.raster import SourceReader\nband.SetNoDataValue(0)\nreader.read(item, 0, 1, 0, 1)"),
    (reads_times, "import re\ndef run(text):\n    return re.fullmatch(r'(\\d{4})-(\\d{4})', text), 'such as %d.%m.%Y'"),
    (undocumented, "def _hidden():\n    return 1\n\n\ndef shown():\n    'Return one.'\n    return 1"),
]


@pytest.mark.parametrize("rule, source", KEPT)
def test_allowed_code_is_left_alone(rule, source):
    assert rule("pti_plugin.core.series.planted", source) == []


@pytest.mark.parametrize("files", [
    {"a": "from .b import x", "b": "def run():\n    from . import a"},
    {"a": "from .b import x", "b": "from .c import y", "c": "import pti_plugin.core.a"},
], ids=["two, one of them inside a function", "three"])
def test_a_planted_circle_is_found(files):
    assert cycles({f"pti_plugin.core.{name}": source for name, source in files.items()})


def test_imports_that_meet_again_are_no_circle():
    files = {"a": "from . import b, c", "b": "from .d import x", "c": "from . import d", "d": ""}
    assert cycles({f"pti_plugin.core.{name}": source for name, source in files.items()}) == []
