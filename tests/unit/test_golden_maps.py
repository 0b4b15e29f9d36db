"""The maps of the sample have the same cells with every version of GDAL, PROJ, NumPy and numba.

Classes have checksums, of the cells and not of the files. Numbers may differ where the last digits of a projection
round a position to the next 2⁻¹⁶ of a cell; every 16th cell of them is kept, and by how much they may differ. The
learned map is made with a small model kept beside these tests, as a model trained anew would differ between versions of
XGBoost. ``python tests/unit/test_golden_maps.py`` writes checksums
and model anew; do so only where a rule of the method changed, and say which in the commit.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pti_plugin.core.common.progress import Progress
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.landcover import ensemble_land_cover
from pti_plugin.core.ensembles.permafrost import EnsembleOptions, ensemble_permafrost
from pti_plugin.core.index.pti import build_pti
from pti_plugin.core.learning.predictor_stack import StackOptions, predictor_stack
from pti_plugin.core.mapping.prediction import predict
from pti_plugin.core.rasters import raster
from pti_plugin.core.rasters.align import polar_grid
from pti_plugin.core.rasters.raster import read_info
from pti_plugin.core.series.trends import TrendOptions, trend_rasters
from support import ROOT, Log, read_raster

SAMPLE = ROOT / "resources" / "sample"
DATA = Path(__file__).resolve().parents[1] / "data"
MODEL, SUMS, NUMBERS = DATA / "golden.ptimodel", DATA / "golden_maps.json", DATA / "golden_numbers.npz"
#: the largest difference of a cell: %, °C, and % of a predictor's range
TOLERANCE = {"pp": 1e-3, "magt": 1e-4, "stack": 1e-3, "stack_of_the_model": 1e-3}
KEPT = np.s_[..., 5::16, 5::16]
#: finer cells than the sample's, of which there are enough that positions are interpolated between nodes
FINE = 9500.0


def whole_maps(folder, target):
    """Make the maps that need no model on a grid; return {name: path}."""
    paths = {name: str(folder / f"{name}.tif") for name in (
        "base", "pp", "magt", "magt_trend", "alt_trend", "pti", "reason", "cover", "source", "stack")}
    permafrost, annual, cover = (SAMPLE / name for name in ("permafrost", "annual", "landcover"))

    def listed(where, pattern):
        return [str(path) for path in sorted(where.glob(pattern))]

    def run(function, *arguments, **options):
        staged(function, *arguments, target=target, **options)

    run(ensemble_permafrost, listed(permafrost, "*_pp_*.tif"), listed(permafrost, "*_magt_*.tif"),
        {name: paths[name] for name in ("base", "pp", "magt")},
        options=EnsembleOptions(min_latitude=45.0, units="obu_pp_fraction_3995.tif=fraction",
                                absent="obu_pp_*; cci_pp_*"))
    for name, pattern in (("magt_trend", "cci_magt_*.tif"), ("alt_trend", "cci_alt_*.tif")):
        run(trend_rasters, listed(annual, pattern), {"sign": paths[name]}, options=TrendOptions(sort=True))
    run(build_pti, {"MAGT": paths["magt"], "MAGT_TREND": paths["magt_trend"], "ALT_TREND": paths["alt_trend"],
                    "PP": paths["pp"], "BASE": paths["base"]}, {"pti": paths["pti"], "reason": paths["reason"]})
    run(ensemble_land_cover, {"CCI": listed(cover, "cci_lc_*.tif"), "GLCC": str(cover / "glcc_ecosystems.tif"),
                              "CAVM": str(cover / "cavm.tif")}, {"cover": paths["cover"], "source": paths["source"]})
    run(predictor_stack, predictors(paths), [], paths["base"], {"stack": paths["stack"]}, options=StackOptions())
    return paths


def staged(function, *arguments, **options):
    with Staging([]) as staging:
        function(*arguments, staging, Log(), **options)
        staging.commit()


def predictors(paths):
    """Return some of the predictors: numbers and classes, finer and coarser than the grids."""
    return {"elevation": str(SAMPLE / "dem" / "elevation_wc21.tif"), "land_cover": paths["cover"],
            "soc": str(SAMPLE / "soil" / "soc_0-5cm_mean.tif"),
            "water_content": str(SAMPLE / "soil" / "wv0033_0-5cm_mean.tif")}


def cells_of(path):
    from osgeo import gdal

    return gdal.Open(path).ReadAsArray()


def numbers(paths):
    """Return the cells of maps of numbers that are kept."""
    return {name: cells_of(path)[KEPT] for name, path in sorted(paths.items()) if name in TOLERANCE}


def check(name, paths):
    """Assert that maps on a grid have the checksums, or the numbers within their tolerance, that are kept."""
    expected = json.loads(SUMS.read_text(encoding="utf-8"))[name]
    found = checksums(paths)
    assert found == {key: expected[key] for key in found}
    with np.load(NUMBERS) as kept:
        for key, cells in numbers(paths).items():
            np.testing.assert_allclose(cells, kept[f"{name} {key}"], rtol=0, atol=TOLERANCE[key], err_msg=key)


def checksums(paths):
    """Return the SHA-256 of the cells of all bands of each map of classes, as they are stored."""
    found = {}
    for name, path in sorted(paths.items()):
        if name in TOLERANCE:
            continue
        cells = cells_of(path)
        cells = np.ascontiguousarray(cells, dtype=cells.dtype.newbyteorder("<"))
        found[name] = hashlib.sha256(f"{cells.dtype.name} {cells.shape}".encode() + cells.tobytes()).hexdigest()
    return found


def learned_map(folder, paths, target):
    """Predict the map with the model kept beside the tests, from a stack scaled as the model's."""
    learned = {name: str(folder / f"{name}.tif") for name in ("stack_of_the_model", "map", "agreement")}
    staged(predictor_stack, predictors(paths), [], paths["base"], {"stack": learned["stack_of_the_model"]},
           options=StackOptions(ranges=str(MODEL)), target=target)
    staged(predict, learned["stack_of_the_model"], str(MODEL), {"pti": learned["map"],
                                                                "agreement": learned["agreement"]})
    return learned


def targets():
    """Return the grids: the sample's own and one of fine cells."""
    return {"25 km": read_info(str(SAMPLE / "grid.tif")).grid, "9.5 km": polar_grid(cell=FINE)}


@pytest.fixture(scope="module", params=["25 km", "9.5 km"])
def made(request, tmp_path_factory):
    """The name of a grid, the maps on it and the folder they are in."""
    folder = tmp_path_factory.mktemp("golden")
    return request.param, whole_maps(folder, targets()[request.param]), folder


def test_the_maps_of_the_sample_are_the_same_everywhere(made):
    name, paths, _ = made
    check(name, paths)
    assert len(checksums(paths)) == 7 and len(numbers(paths)) == 3


def test_the_learned_map_of_the_same_model_is_the_same_everywhere(made):
    pytest.importorskip("xgboost")
    name, paths, folder = made
    check(name, learned_map(folder, paths, targets()[name]))
    ranks = read_raster(folder / "map.tif")
    assert len(np.unique(ranks[ranks > 0])) > 5


def test_a_fine_grid_lies_between_nodes():
    assert polar_grid(cell=FINE).width ** 2 > raster.WARP_EXACT_CELLS


def write_anew(folder):
    """Train the model and write it and the checksums."""
    from pti_plugin.core.common.profiles import DEFENSIBLE
    from pti_plugin.core.ensembles.features import read_stack
    from pti_plugin.core.learning.learner import TrainingOptions
    from pti_plugin.core.learning.model_file import pack_samples, write_model
    from pti_plugin.core.learning.training import manifest, train
    from pti_plugin.core.samples.sampling import draw_samples

    DATA.mkdir(exist_ok=True)
    sums, kept = {}, {}
    for name, grid in targets().items():
        paths = whole_maps(folder, grid)
        if not sums:
            samples = draw_samples(paths["pti"], read_stack(paths["stack"]), 60, 0, 1, Progress())
            options = TrainingOptions(runs=3, rounds=6, max_depth=4, block_km=600)
            training = train(samples, options, Progress())
            write_model(str(MODEL), samples.features, training.codes, training.boosters,
                        manifest(training, samples, options, DEFENSIBLE), pack_samples(samples, training.folds))
        paths.update(learned_map(folder, paths, grid))
        sums[name] = checksums(paths)
        kept.update({f"{name} {key}": cells for key, cells in numbers(paths).items()})
    np.savez_compressed(NUMBERS, **kept)
    SUMS.write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        write_anew(Path(temporary))
