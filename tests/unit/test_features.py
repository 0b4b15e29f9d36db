"""Predictors are matched by the names of bands, never by their order, and only where kind and scaling agree."""

import dataclasses

import numpy as np
import pytest
from osgeo import gdal

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.ensembles.features import GROUPS, PREDICTORS, Feature, read_stack
from pti_plugin.core.rasters.raster import CLASS, NUMBER, SourceReader
from support import write_raster

BANDS = {"lst": 1.0, "land_cover": 30.0, "slope": 3.0, "own_layer": 4.0}


def write_stack(folder, names=tuple(BANDS), tags=(), name="stack.tif"):
    """A stack of 2 × 2 cells; band values follow the names. ``tags``: (band name, item, value)."""
    path = write_raster(folder / name, np.stack([np.full((2, 2), BANDS.get(band, 9.0)) for band in names]),
                        dtype="float32", descriptions=list(names))
    dataset = gdal.Open(path, gdal.GA_Update)
    for band, item, value in tags:
        dataset.GetRasterBand(names.index(band) + 1).SetMetadataItem(item, value)
    dataset.FlushCache()
    return path


def test_the_papers_sixteen_predictors_in_five_groups():
    assert len(PREDICTORS) == 16
    by_group = {group: [name for name, what in PREDICTORS.items() if what.group == group] for group in GROUPS}
    assert {group: len(names) for group, names in by_group.items()} == {
        "thermal": 3, "biophysical": 4, "hydrological": 2, "soil": 5, "topography": 2}
    assert [name for name, what in PREDICTORS.items() if what.categorical] == ["land_cover"]


def test_roles_are_found_by_band_name(tmp_path):
    stack = read_stack(write_stack(tmp_path, tags=[("lst", "PTI_MIN", "-20.5"), ("lst", "PTI_MAX", "31")]))
    assert stack.features == (
        Feature("lst", "thermal", False, -20.5, 31.0), Feature("land_cover", "biophysical", True),
        Feature("slope", "topography", False), Feature("own_layer", "other", False))
    assert [item.kind for item in stack.sources] == [NUMBER, CLASS, NUMBER, NUMBER]
    assert [item.band for item in stack.sources] == [1, 2, 3, 4]


def test_a_band_may_say_its_kind_and_group(tmp_path):
    stack = read_stack(write_stack(tmp_path, tags=[("own_layer", "PTI_KIND", "categorical"),
                                                   ("own_layer", "PTI_GROUP", "geology"),
                                                   ("own_layer", "PTI_MIN", "0"), ("slope", "PTI_GROUP", "relief")]))
    assert stack.features[3] == Feature("own_layer", "geology", True)
    assert stack.features[2].group == "relief"


def test_selection_follows_the_names_whatever_the_order(tmp_path):
    model = read_stack(write_stack(tmp_path)).features[:3]
    shuffled = read_stack(write_stack(tmp_path, ("slope", "own_layer", "land_cover", "lst"), name="shuffled.tif"))
    reader = SourceReader()
    values = [reader.read(item, 0, 1, 0, 1)[0, 0] for item in shuffled.select(model)[0]]
    assert values == [BANDS[feature.name] for feature in model]


def test_a_missing_predictor_is_named(tmp_path):
    stack = read_stack(write_stack(tmp_path, ("lst", "slope")))
    with pytest.raises(InputError, match=r"stack\.tif lacks land_cover, soc, which the model.*It has lst, slope"):
        stack.select([Feature("lst", "thermal", False), Feature("land_cover", "biophysical", True),
                      Feature("soc", "soil", False)])


@pytest.mark.parametrize("change, text", [
    ({"categorical": True}, "lst is a number in stack.tif but categorical in the model"),
    ({"low": -10.0}, r"lst in stack\.tif is scaled by -20\.0 to 30\.0, but the model was trained on -10\.0 to 30\.0"),
    ({"low": None, "high": None}, "trained on None to None"),
])
def test_another_kind_or_scaling_is_refused(tmp_path, change, text):
    stack = read_stack(write_stack(tmp_path, tags=[("lst", "PTI_MIN", "-20"), ("lst", "PTI_MAX", "30")]))
    own = stack.features[0]
    assert stack.select([own]) == ([stack.sources[0]], (None,))
    with pytest.raises(InputError, match=text):
        stack.select([dataclasses.replace(own, **change)])


def test_unnamed_and_doubled_bands_and_ranges_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"Band 2 of the predictor stack stack\.tif has no name"):
        read_stack(write_stack(tmp_path, ("lst", "", "slope")))
    with pytest.raises(InputError, match="has lst twice"):
        read_stack(write_stack(tmp_path, ("lst", "slope", "lst"), name="twice.tif"))
    with pytest.raises(InputError, match=r"PTI_MIN of lst in odd\.tif is 'low', not a number"):
        read_stack(write_stack(tmp_path, tags=[("lst", "PTI_MIN", "low")], name="odd.tif"))
