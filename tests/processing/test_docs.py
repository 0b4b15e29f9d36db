"""The page of the tools says what the tools say."""

import build_docs
from support import ROOT


def test_the_page_of_the_tools_is_up_to_date(provider):
    # the bundled model names its outputs by the version of QGIS, so only the tools are compared
    written = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8").partition("## fullchain")[0]
    assert build_docs.page(provider).partition("## fullchain")[0] == written, "run scripts/build_docs.py"


def test_the_table_of_origins_is_that_of_the_presets():
    assert build_docs.profiles_page() == build_docs.PROFILES.read_text(encoding="utf-8"), "run scripts/build_docs.py"
    assert build_docs.dataset_page() == build_docs.DATASET.read_text(encoding="utf-8"), "run scripts/build_docs.py"
