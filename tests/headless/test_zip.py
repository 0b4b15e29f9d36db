"""The zip is what a user installs: its structure, that it passes the gate, and that QGIS finds the tools in it."""

import zipfile

import pytest

import build_zip
import check_zip
from support import QgisProcess

ALGORITHMS = ("ensemblepermafrost", "ensemblelandcover", "trendrasters", "buildpti", "trainxgboost",
              "predictxgboost", "validateboreholes")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_zip.build(tmp_path_factory.mktemp("zip"))


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_zip_passes_the_gate_of_the_plugin_repository(built):
    assert check_zip.problems(built) == []


def test_zip_holds_the_plugin_with_its_resources_and_nothing_that_makes_them(built):
    names = names_in(built)
    assert {"pti_plugin/metadata.txt", "pti_plugin/LICENSE", "pti_plugin/resources/icons/pti.png"} <= set(names)
    for folder in ("core", "algorithms", "resources/sample", "resources/tables"):
        assert any(name.startswith(f"pti_plugin/{folder}/") for name in names), folder
    assert not [name for name in names if name.startswith("pti_plugin/resources/") and name.endswith(".py")]


def test_files_that_are_links_in_the_checkout_are_files_in_the_zip(built):
    with zipfile.ZipFile(built) as archive:
        for name in ("metadata.txt", "LICENSE"):
            assert archive.read(f"pti_plugin/{name}") == (build_zip.ROOT / name).read_bytes()


def test_the_same_files_give_the_same_bytes(built, tmp_path):
    assert build_zip.build(tmp_path).read_bytes() == built.read_bytes()


def test_hidden_compiled_and_making_files_are_left_out(tmp_path):
    plugin = tmp_path / "pti_plugin"
    for name in ("__init__.py", "__pycache__/a.pyc", ".git/config", "core/.hidden", "core/a.py", "core/b.pyc",
                 "resources/sample/make.py", "resources/sample/a.tif", "resources/sample/a.tif.aux.xml",
                 "resources/sample/b.tif.partial"):
        path = plugin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    found = [name for name, _ in build_zip.plugin_files(tmp_path)]
    assert found == ["pti_plugin/__init__.py", "pti_plugin/core/a.py", "pti_plugin/resources/sample/a.tif"]


def test_qgis_process_lists_the_tools_of_the_installed_zip(built, tmp_path):
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "plugins")
    installed = QgisProcess(tmp_path / "profile", tmp_path / "plugins")
    listed = installed(["list"])
    assert listed.code == 0, listed.stderr
    ids = {line.split()[0] for line in listed.stdout.splitlines() if line.split()[0:1]}
    assert {f"pti:{name}" for name in ALGORITHMS} <= ids, listed.stderr


# The gate itself: a good zip passes, and each planted fault is named.

METADATA = {"name": "Test", "description": "A test.", "version": "1.2.3", "qgisMinimumVersion": "3.22",
            "author": "A", "email": "a@example.org", "about": "About.", "hasProcessingProvider": "yes",
            "tracker": "https://example.org/issues", "repository": "https://example.org", "icon": "icon.png"}


def planted_zip(folder, files=None, metadata=None, name="pti_plugin-1.2.3.zip"):
    """Write a small zip that passes the gate, changed by ``files`` (name → text, None leaves out) and ``metadata``."""
    values = {key: value for key, value in {**METADATA, **(metadata or {})}.items() if value is not None}
    content = {"pti_plugin/__init__.py": "VALUE = 1\n", "pti_plugin/LICENSE": "Licence", "pti_plugin/icon.png": "png",
               "pti_plugin/metadata.txt": "[general]\n" + "".join(f"{k}={v}\n" for k, v in values.items())}
    content.update(files or {})
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in content.items():
            if text is not None:
                archive.writestr(entry, text)
    return path


def test_gate_passes_a_zip_without_faults(tmp_path):
    assert check_zip.problems(planted_zip(tmp_path)) == []


@pytest.mark.parametrize("files, said", [
    ({"pti_plugin/LICENSE": None}, "LICENSE is missing"),
    ({"pti_plugin/__init__.py": None}, "__init__.py is missing"),
    ({"other/a.py": ""}, "other/a.py is not inside"),
    ({"pti_plugin/.git/config": ""}, ".git/config is hidden"),
    ({"pti_plugin/__pycache__/a.cpython-311.pyc": ""}, "compiled Python"),
    ({"pti_plugin/fast.so": ""}, "is a binary"),
    ({"pti_plugin/a.tif.partial": ""}, "unfinished"),
    *[({f"pti_plugin/install{ending}": ""}, "is a script of a shell") for ending in (".bat", ".cmd", ".ps1", ".sh")],
    ({"pti_plugin/check.py": "def run():\n    return missing  # noqa: F821\n"}, "Lint F821 in check.py line 2"),
    ({"pti_plugin/check.py": "import os\n"}, "Lint F401 in check.py line 1"),
    ({"pti_plugin/check.py": "def run(x):\n    assert x\n"}, "Bandit B101 in check.py line 2"),
    ({"pti_plugin/check.py": "import pickle  # nosec\n"}, "Bandit B403"),
    ({"pti_plugin/check.py": "def run(:\n"}, "Bandit could not read"),
    ({"pti_plugin/check.py": 'aws_key = "AKIA' + 'Z7QX4MB2WJ5T3RNV"\n'}, "detect-secrets in check.py line 1"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_gate_names_a_planted_file_fault(tmp_path, files, said):
    assert said in "\n".join(check_zip.problems(planted_zip(tmp_path, files)))


@pytest.mark.parametrize("metadata, said", [
    *[({key: None}, f"lacks {key}") for key in check_zip.REQUIRED_KEYS],
    ({"hasProcessingProvider": None}, "lacks hasProcessingProvider"),
    ({"version": "1.2"}, "not of the form"),
    ({"version": "1.2.4"}, "says version 1.2.4"),
    ({"tracker": "example.org"}, "not an https address"),
    ({"icon": "other.png"}, "other.png named in metadata.txt is not in the zip"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_gate_names_a_planted_metadata_fault(tmp_path, monkeypatch, metadata, said):
    monkeypatch.setattr(check_zip, "bandit_problems", lambda plugin: [])
    monkeypatch.setattr(check_zip, "secret_problems", lambda plugin: [])
    monkeypatch.setattr(check_zip, "lint_problems", lambda plugin: [])
    assert said in "\n".join(check_zip.problems(planted_zip(tmp_path, metadata=metadata)))


def test_gate_refuses_a_zip_over_25_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(check_zip, "MOST_BYTES", 100)
    assert "takes at most" in check_zip.problems(planted_zip(tmp_path))[0]


@pytest.mark.parametrize(("name", "mode", "text", "said"), [
    ("resources", 0o120777, "../resources", "is a link."), ("tool.py", 0o100755, "VALUE = 1\n", "is executable.")],
    ids=["link", "executable"])
def test_gate_refuses_a_link_and_an_executable_file(tmp_path, name, mode, text, said):
    path = planted_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo(f"pti_plugin/{name}")
        entry.external_attr = mode << 16
        archive.writestr(entry, text)
    assert check_zip.problems(path) == [f"pti_plugin/{name} {said}"]
