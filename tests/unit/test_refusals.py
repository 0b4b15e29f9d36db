"""Refusals that no other test meets: each names the file or the value, and what to do.

``make raises`` lists the refusals of the core that no test reaches.
"""

import contextlib
import resource
from types import SimpleNamespace

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError, OutputError
from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.features import Feature
from pti_plugin.core.learning.folds import block_folds
from pti_plugin.core.mapping.applicability import applicability
from pti_plugin.core.rasters.align import AlignOptions, align
from pti_plugin.core.rasters.blocks import OutputSpec, RasterWriter, Window
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.series.composites import CompositeOptions, composite_series
from support import Log, standing, write_raster


@contextlib.contextmanager
def files_of_at_most(size):
    """Let no file grow beyond ``size`` bytes, as on a full disk; Python ignores the signal and the write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- rasters --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 4096, 70_000])
def test_a_raster_that_the_disk_does_not_take_is_refused_and_removed(tmp_path, size):
    source = write_raster(tmp_path / "source.tif", np.zeros((300, 300)))
    output = tmp_path / "out" / "result.tif"
    output.parent.mkdir()
    values = np.random.default_rng(1).normal(size=(300, 300)).astype("float32")
    with pytest.raises(OutputError, match=r"result\.tif"), Staging([source]) as staging, files_of_at_most(size):
        writer = RasterWriter(OutputSpec(str(output), "float32", -9999.0, bands=("values",)),
                              read_info(source).grid, staging)
        writer.write(Window(0, 300, 0, 300), values)
        writer.close()
        staging.commit()
    assert standing(output.parent) == {}


def test_one_of_band_and_select_is_enough(tmp_path):
    path = write_raster(tmp_path / "layers.tif", np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="BAND and SELECT both choose.*give one of them"), Staging([path]) as staging:
        align([path], str(tmp_path / "out.tif"), staging, Log(), AlignOptions(band=2, select="1..2"))


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / "radar.tif", np.zeros((4, 4)), dtype="complex64")
    with pytest.raises(InputError, match=r"radar\.tif holds complex numbers; PTI reads real ones"):
        read_info(path)


def test_a_mask_that_cannot_be_read_names_the_file_and_the_row(tmp_path):
    path = tmp_path / "cut.tif"
    values = np.random.default_rng(2).choice([0, 255], (4, 600, 600))
    write_raster(path, values.astype("uint8"), options=["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE"])
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 4])
    with pytest.raises(InputError, match=r"cut\.tif.*cannot be read.*Get the file again"):
        read_info(str(path))


# ---- series ---------------------------------------------------------------------------------------------------------

def composite(paths, folder, **options):
    with Staging(paths) as staging:
        composite_series(paths, {"composite": str(folder / "out.tif")}, staging, Log(), CompositeOptions(**options))


def test_the_most_recent_class_needs_a_time(tmp_path):
    path = write_raster(tmp_path / "cover.tif", np.ones((3, 2, 2)), dtype="uint8")
    with pytest.raises(InputError, match="not known which is the most recent.*START.*or set TIE to"):
        composite([path], tmp_path, statistic="majority")


def test_monthly_means_are_made_of_daily_layers(tmp_path):
    path = write_raster(tmp_path / "series.tif", np.ones((3, 2, 2)), descriptions=["2001", "2002", "2003"])
    with pytest.raises(InputError, match="PERIOD is 12, but monthly means are made of daily layers. Set PERIOD to 365"):
        composite([path], tmp_path, statistic="monthly_mean", period=12)


def test_months_with_too_few_days_are_named(tmp_path):
    path = write_raster(tmp_path / "days.tif", np.ones((2, 2, 2)), descriptions=["2001-01-01", "2001-01-02"])
    with pytest.raises(InputError, match=r"No month has 80 % of its days \(MIN_SHARE\)"):
        composite([path], tmp_path, statistic="monthly_mean", period=365, min_share=0.8, gaps="as_they_are")


# ---- samples and the model ------------------------------------------------------------------------------------------

def test_samples_in_too_few_blocks_cannot_be_dealt(tmp_path):
    near = SimpleNamespace(longitude=np.linspace(20, 20.1, 40), latitude=np.linspace(70, 70.1, 40))
    with pytest.raises(InputError, match=r"fall into \d blocks of 500 km; at least 5 are needed. Lower BLOCK_KM"):
        block_folds(near, 500, 1)
    folds, blocks = block_folds(near, 1, 1)
    assert blocks >= 5 and set(folds) == set(range(5))


def test_samples_that_cannot_measure_a_distance_have_no_area_of_applicability():
    features = [Feature("a", "soil", False), Feature("b", "soil", False)]
    gappy = np.array([[1, np.nan], [2, np.nan], [np.nan, 1], [np.nan, 3]])
    with pytest.raises(InputError, match="fewer than two training samples have all predictors"):
        applicability(gappy, features, [1.0, 1.0], [0, 1, 0, 1], Progress())
    # only those with a gap differ
    alike = np.array([[1, 5], [1, 5], [2, np.nan], [np.nan, 6]])
    with pytest.raises(InputError, match="all training samples are alike"):
        applicability(alike, features, [1.0, 1.0], [0, 1, 0, 1], Progress())


def test_predictors_and_groups_are_as_many():
    pytest.importorskip("matplotlib")
    from pti_plugin.core.reporting.figures import shap_bars

    with pytest.raises(InputError, match="There are 2 predictors but 1 groups; give one for each"):
        shap_bars(["a", "b"], ["soil"], [1.0, 2.0])
