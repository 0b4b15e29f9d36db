"""Measures speed and memory and writes the table benchmarks/results.md.

Usage: python benchmarks/run.py [--full | --quick] [--output FILE]

--full adds the circumpolar run (10,000 × 10,000 cells, some minutes); --quick is a short form that only shows that
everything runs, its numbers mean nothing. Kernels are timed in processor seconds of one thread, ours and theirs in
turn; the tool end to end in processor seconds of the process and in wall time.
"""

import argparse
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

FULL_SIDE, QUICK_SIDE = 10_000, 512


def _versions():
    from importlib.metadata import PackageNotFoundError, version
    found = []
    for name in ("numpy", "numba", "scipy", "pymannkendall", "xarrayMannKendall", "xgboost-cpu", "scikit-learn"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def report(quick, full):
    """Measure and return the page as Markdown."""
    import align
    import landcover
    import learning
    import memory
    import prediction
    import sampling
    import trends
    from measure import HEAD
    compiled, loaded = trends.compile_seconds(quick)
    rows = trends.kernel_rows(quick) + trends.end_to_end_rows(quick)
    if full or quick:
        rows += memory.rows(FULL_SIDE if full else QUICK_SIDE)
    return "\n".join([
        "# Speed and memory", "",
        f"Made by `make bench` on {os.cpu_count()} cores, Python {platform.python_version()}, {_versions()}. Kernels "
        f"in processor time of one thread, ours and theirs in turn, medians of several repeats after a warm-up.", "",
        "## Trends", "",
        f"Compiling the kernel takes {compiled:.1f} s once, loading it from the cache {loaded:.2f} s; neither is in "
        f"the table.", "", *HEAD, *(row.line() for row in rows), "",
        "## Alignment", "",
        "PTI and gdalwarp read the same file and write the same grid, tiles and compression, in turn.", "",
        *HEAD, *(row.line() for row in align.rows(quick)), "",
        "## Prediction", "",
        "The fast predictor gives the margins of XGBoost to the last bit; that is checked before it is timed.", "",
        *HEAD, *(row.line() for row in prediction.rows(quick)), "",
        "## Learning", "",
        "Curve and choice are those of scikit-learn; that is checked before the times are taken down.", "",
        *HEAD, *(row.line() for row in learning.rows(quick, full)), "",
        "## Sampling", "",
        "The edge buffer is in true ground distance and every cell of it is exact; scipy's is in the plane. The draw "
        "is that of a second run, which finds its kernels compiled.", "",
        *HEAD, *(row.line() for row in sampling.rows(quick)), "",
        "## Land cover", "", *HEAD, *(row.line() for row in landcover.rows(quick)), ""])


def main():
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="with the circumpolar run")
    size.add_argument("--quick", action="store_true", help="a short form that only shows that everything runs")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results.md"), help="where the table goes")
    options = parser.parse_args()
    page = report(options.quick, options.full)
    Path(options.output).write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
