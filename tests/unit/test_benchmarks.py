"""The short form of `make bench` runs and its table has every row."""

import subprocess
import sys

from support import ROOT


def test_the_quick_form_runs_and_the_table_has_its_rows(tmp_path):
    page = tmp_path / "results.md"
    done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--output", str(page)],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "Compiling the kernel takes" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for start in ("| annual, 25 layers: numpy | pymannkendall", "| monthly, 252 layers, gaps and ties: numpy |",
                  "| 8-day, 1,150 layers: numpy | pymannkendall"):
        assert any(row.startswith(start) for row in rows), start
    for words in ("scipy theilslopes + kendalltau", "xarrayMannKendall", "end to end", "processor time", "wall time",
                  "peak memory", "progress reported", "native:cellstatistics", "Booster.inplace_predict",
                  "Booster.load_model", "scikit-learn RFECV"):
        assert any(words in row for row in rows), words
    assert {row.count("|") for row in rows} == {8}
    assert not list((ROOT / "benchmarks").glob("*.tif"))
