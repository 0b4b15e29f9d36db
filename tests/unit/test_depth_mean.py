"""The mean over depth: thickness weights, depths from names and statements, gaps, and what is refused."""

import numpy as np
import pytest

from pti_plugin.core.common.errors import GridError, InputError
from pti_plugin.core.common.staging import Staging
from pti_plugin.core.ensembles.depth_mean import DepthOptions, depth_mean, depths_of, thicknesses
from pti_plugin.core.rasters.blocks import Settings
from pti_plugin.core.rasters.raster import read_info
from support import Log, read_raster, standing, write_raster

DEPTHS = ((0, 5), (5, 15), (15, 30), (30, 60), (60, 100))
NODATA = -32768


def run(paths, folder, names=("mean", "thickness"), settings=None, **options):
    outputs = {name: str(folder / f"out_{name}.tif") for name in names}
    log = Log()
    with Staging(paths) as staging:
        result = depth_mean(paths, outputs, staging, log, DepthOptions(**options), settings)
        staging.commit()
    return {name: read_raster(path) for name, path in outputs.items()}, result, log, outputs


def soil(shape=(7, 6), gaps=0.15, seed=1):
    """Return the five layers of a soil property as SoilGrids stores them, NaN in the gaps."""
    rng = np.random.default_rng(seed)
    cube = rng.integers(0, 900, (5, *shape)).astype(float)
    cube[rng.random(cube.shape) < gaps] = np.nan
    cube[:, 0, 0] = np.nan
    return cube


def write_layers(folder, cube, depths=DEPTHS, name="clay_{}-{}cm_mean_1000.tif", **options):
    options = {"nodata": NODATA, "dtype": "int16", **options}
    return [write_raster(folder / name.format(*depth), layer, **options) for depth, layer in zip(depths, cube)]


def test_five_layers_of_soilgrids_weigh_5_10_15_30_40(tmp_path):
    cube = np.zeros((5, 2, 3))
    cube[:, 0, 0] = (100, 50, 20, 10, 5)
    cube[:, 1, 1] = (7, 7, 7, 7, 7)
    cube[0, 0, 2] = 1
    got, result, log, outputs = run(write_layers(tmp_path, cube, unit="dg/kg"), tmp_path)
    # (5·100 + 10·50 + 15·20 + 30·10 + 40·5) / 100
    assert got["mean"][0, 0] == 18 and got["mean"][1, 1] == 7 and got["mean"][0, 2] == pytest.approx(0.05)
    assert (got["thickness"] == 100).all()
    assert [row["weight_cm"] for row in result["layers"]] == [5, 10, 15, 30, 40]
    assert read_info(outputs["mean"]).units == ("dg/kg",) and read_info(outputs["thickness"]).units == ("cm",)
    assert any("clay_60-100cm_mean_1000.tif: 60-100 cm, weight 40 cm" in line for line in log.lines)


@pytest.mark.parametrize(("gaps", "share"), [("all_layers", 0.5), ("layers_there", 0.5), ("layers_there", 0.0),
                                             ("layers_there", 0.7), ("layers_there", 1.0)])
def test_gaps_are_what_a_plain_loop_makes_of_them(tmp_path, gaps, share):
    cube = soil(gaps=0.3)
    cube[:, 0, 1] = (np.nan, np.nan, np.nan, 5, 6)
    got, result, log, _ = run(write_layers(tmp_path, cube), tmp_path, gaps=gaps, min_thickness=share)
    counts = {"whole": 0, "partial": 0, "few": 0, "empty": 0}
    for row in range(7):
        for column in range(6):
            pairs = [(x, bottom - top) for x, (top, bottom) in zip(cube[:, row, column], DEPTHS) if not np.isnan(x)]
            thickness = sum(w for _, w in pairs)
            enough = thickness == 100 if gaps == "all_layers" else bool(pairs) and thickness >= 100 * share
            kind = ("whole" if thickness == 100 else "empty" if not pairs else "partial" if enough else "few")
            counts[kind] += 1
            if enough:
                mean = sum(x * w for x, w in pairs) / thickness
                assert got["mean"][row, column] == pytest.approx(mean, rel=1e-6)
                assert got["thickness"][row, column] == thickness
            else:
                assert np.isnan(got["mean"][row, column]) and np.isnan(got["thickness"][row, column])
    assert {key: result["cells"][key] for key in counts} == counts
    assert bool(counts["partial"]) == any(f"{counts['partial']} cells lack a layer" in w for w in log.warnings)
    assert bool(counts["few"]) == any(f"{counts['few']} cells have only some" in w for w in log.warnings)


def test_a_limit_cuts_the_layer_it_lies_in(tmp_path):
    cube = soil(gaps=0)
    cube[:, 0, 0] = 1
    paths = write_layers(tmp_path, cube)
    got, result, log, _ = run(paths, tmp_path, bottom=50)
    weights = np.array([5, 10, 15, 20])
    np.testing.assert_allclose(got["mean"], np.tensordot(weights, cube[:4], 1) / 50, rtol=1e-6)
    assert (got["thickness"] == 50).all() and len(result["layers"]) == 4
    assert any("60-100 cm) lies outside" in warning for warning in log.warnings)
    got, _, _, _ = run(paths, tmp_path, top=10, bottom=30)
    np.testing.assert_allclose(got["mean"], (5 * cube[1] + 15 * cube[2]) / 20, rtol=1e-6)


def test_a_gap_outside_the_limits_does_not_matter(tmp_path):
    cube = soil(gaps=0)
    cube[:, 0, 0] = 1
    cube[4] = np.nan
    got, _, _, _ = run(write_layers(tmp_path, cube), tmp_path, bottom=60)
    np.testing.assert_allclose(got["mean"], np.tensordot([5, 10, 15, 30], cube[:4], 1) / 60, rtol=1e-6)


def test_the_order_of_the_layers_and_scaled_integers_do_not_matter(tmp_path):
    cube = soil()
    paths = write_layers(tmp_path, cube, scale=0.1, offset=5.0)
    first, _, _, _ = run(paths, tmp_path)
    turned, _, _, _ = run([paths[i] for i in (3, 0, 4, 2, 1)], tmp_path)
    np.testing.assert_array_equal(first["mean"], turned["mean"])
    np.testing.assert_allclose(first["mean"], np.tensordot([5, 10, 15, 30, 40], cube * 0.1 + 5, 1) / 100, rtol=1e-6)


def test_bands_of_one_file_tell_their_depths_by_their_names(tmp_path):
    cube = soil(gaps=0)
    path = write_raster(tmp_path / "bdod.tif", cube, nodata=NODATA, dtype="int16",
                        descriptions=[f"bdod_{top}-{bottom}cm_mean" for top, bottom in DEPTHS])
    got, _, log, _ = run([path], tmp_path)
    np.testing.assert_allclose(got["mean"], np.tensordot([5, 10, 15, 30, 40], cube, 1) / 100, rtol=1e-6)
    assert not log.warnings
    plain = write_raster(tmp_path / "plain.tif", cube[:2], nodata=NODATA, dtype="int16")
    got, _, _, _ = run([plain], tmp_path, layers="plain.tif band 1=0-30; plain.tif band 2=30-100 cm")
    np.testing.assert_allclose(got["mean"], (30 * cube[0] + 70 * cube[1]) / 100, rtol=1e-6)


def test_depths_are_read_from_names_and_statements():
    names = ["clay_0-5cm_mean", "cfvo_60-100cm_mean_1000.tif", "wv0033_5-15cm_Q0.5.tif", "x 2.5-10 CM.tif"]
    assert depths_of(names) == [(0, 5), (60, 100), (5, 15), (2.5, 10)]
    assert depths_of(["a_top.tif", "b_5-15cm.tif"], "A_*=0-5") == [(0, 5), (5, 15)]
    assert depths_of(["clay_5-15cm_mean.tif"], "clay*=0-30cm") == [(0, 30)]
    assert thicknesses(["a", "b"], [(0, 5), (5, 30)], 0, 10) == [5, 5]


def test_layers_of_two_properties_are_said(tmp_path):
    paths = [write_raster(tmp_path / name, np.ones((2, 2)), dtype="int16")
             for name in ("clay_0-5cm_mean.tif", "silt_5-15cm_mean.tif")]
    _, _, log, _ = run(paths, tmp_path)
    assert any("clay_*_mean.tif, silt_*_mean.tif" in warning for warning in log.warnings)


def test_block_size_and_threads_do_not_change_a_byte(tmp_path):
    paths = write_layers(tmp_path, soil((300, 280)))
    seen = []
    for block, threads in ((64, 1), (256, 2), (1000, 2), (0, 1)):
        folder = tmp_path / f"b{block}_{threads}"
        folder.mkdir()
        run(paths, folder, settings=Settings(threads, block), gaps="layers_there")
        seen.append(standing(folder))
    assert all(files == seen[0] for files in seen[1:])


BAD_DEPTHS = [
    (((0, 5), (5, 15), (30, 60)), {}, r"no layer for 15-30 cm\. Add it"),
    (((5, 15), (15, 30)), {}, "no layer for 0-5 cm"),
    (((0, 5), (15, 30), (60, 100)), {}, "no layer for 5-15 cm, 30-60 cm"),
    (((0, 5), (5, 15)), {"bottom": 100}, "no layer for 15-100 cm"),
    (((0, 15), (5, 30)), {}, r"clay_0-15cm.*\(0-15 cm\) and clay_5-30cm.*\(5-30 cm\) overlap"),
    (((0, 30), (0, 5), (5, 30)), {}, "overlap"),
    (((5, 0), (5, 15)), {}, "clay_5-0cm.*bottom must be deeper"),
    (((0, 5), (5, 15)), {"layers": "bdod*=0-5"}, "'bdod\\*' in LAYERS matches none.*clay_0-5cm"),
    (((0, 5), (5, 15)), {"layers": "clay_0*=top"}, "LAYERS says 'top' for clay_0-5cm"),
    (((0, 5), (5, 15)), {"layers": "0-5"}, "'0-5' in LAYERS is not of the form"),
    (((0, 5), (5, 15)), {"gaps": "some"}, "GAPS is 'some'"),
    (((0, 5), (5, 15)), {"min_thickness": 2}, "MIN_THICKNESS is 2"),
    (((0, 5), (5, 15)), {"top": 20, "bottom": 10}, "TOP is 20 and DEPTH 10"),
    (((0, 5), (5, 15)), {"top": 20}, "TOP is 20, but the deepest layer ends at 15 cm"),
    (((0, 5),), {}, "only layer"),
    ((), {}, "No layer is given"),
]


@pytest.mark.parametrize(("depths", "options", "message"), BAD_DEPTHS)
def test_depths_and_options_that_do_not_fit_are_named(tmp_path, depths, options, message):
    paths = write_layers(tmp_path, np.ones((len(depths), 2, 2)), depths)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InputError, match=message):
        run(paths, out, **options)
    assert standing(out) == {}


def test_layers_that_do_not_fit_are_named(tmp_path):
    nameless = [write_raster(tmp_path / name, np.ones((2, 2)), dtype="int16") for name in ("a.tif", "b.tif")]
    with pytest.raises(InputError, match=r"a.tif tells no depth.*LAYERS, for example a.tif=0-5"):
        run(nameless, tmp_path)
    paths = write_layers(tmp_path, np.ones((2, 2, 2)))
    other = write_raster(tmp_path / "clay_15-30cm_mean.tif", np.ones((3, 3)), dtype="int16")
    with pytest.raises(GridError, match="clay_15-30cm_mean.tif is not on the grid.*align them first"):
        run([*paths, other], tmp_path)
    unit = write_raster(tmp_path / "clay_15-30cm_b.tif", np.ones((2, 2)), dtype="int16", unit="g/kg")
    with pytest.raises(InputError, match="different units"):
        run([*paths, unit], tmp_path)
    empty = write_raster(tmp_path / "clay_15-30cm_c.tif", np.full((2, 2), NODATA), nodata=NODATA, dtype="int16")
    with pytest.raises(InputError, match="No cell has all layers.*layers_there"):
        run([*paths, empty], tmp_path)
    with pytest.raises(InputError, match="No cell has 90 % of the thickness.*MIN_THICKNESS"):
        run([*paths, empty], tmp_path, gaps="layers_there", min_thickness=0.9)
    with pytest.raises(InputError, match="none.tif does not exist"):
        run([*paths, str(tmp_path / "none.tif")], tmp_path)
    assert not list(tmp_path.glob("out_*"))


@pytest.mark.parametrize("soil_name, unit, factor", [("soc", "g/kg", 0.1), ("cfvo", "vol%", 0.1),
                                                     ("bdod", "g/cm3", 0.01), ("wv0033", "vol%", 0.1)])
@pytest.mark.parametrize("ending", ["tif", "vrt"])
def test_layers_of_soilgrids_come_out_in_the_usual_unit(tmp_path, soil_name, unit, factor, ending):
    from osgeo import gdal

    cube = soil(seed=3) / 4
    paths = write_layers(tmp_path, cube, name=soil_name + "_{}-{}cm_mean.tif")
    if ending == "vrt":
        names = [path.replace("_mean.tif", "_mean.vrt") for path in paths]
        for name, path in zip(names, paths):
            gdal.Translate(name, path, format="VRT").FlushCache()
        paths = names
    got, _, log, outputs = run(paths, tmp_path)
    weights = np.array([5, 10, 15, 30, 40])[:, None, None]
    np.testing.assert_allclose(got["mean"], (np.trunc(cube) * weights).sum(axis=0) / 100 * factor, rtol=1e-5)
    info = read_info(outputs["mean"])
    assert info.units == (unit,) and info.metadata["PTI_PRODUCT"] == f"soilgrids_{soil_name}"
    assert "preset soilgrids_" in log.lines[0]
    # the numbers as they are stored, where that is asked for
    raw, _, _, outputs = run(paths, tmp_path, product="none")
    np.testing.assert_allclose(raw["mean"] * factor, got["mean"], rtol=1e-5)
    # a unit that the file declares goes before the scale of the preset
    declared = write_layers(tmp_path, cube, name=soil_name + "_{}-{}cm_mean.tif", unit="1e-1 g/kg") \
        if soil_name == "soc" else paths
    np.testing.assert_allclose(run(declared, tmp_path)[0]["mean"], got["mean"], rtol=1e-5)


def test_layers_of_two_products_are_refused(tmp_path):
    first = write_layers(tmp_path, soil(), name="soc_{}-{}cm_mean.tif")[:2]
    other = write_layers(tmp_path, soil(), name="bdod_{}-{}cm_mean.tif")[2:]
    with pytest.raises(InputError, match="not of one product: soc_0-5cm_mean.tif is named like SoilGrids soil organic "
                                         "carbon, but bdod_15-30cm_mean.tif is named like SoilGrids bulk density"):
        run([*first, *other], tmp_path)
