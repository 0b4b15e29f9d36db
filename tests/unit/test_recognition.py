"""A file is the product that its record, its name or its structure says, and nothing is taken for its neighbour."""

import itertools
import shutil

import numpy as np
import pytest

import products as p
from pti_plugin.core.common.errors import InputError
from pti_plugin.core.rasters.containers import variable_of
from pti_plugin.core.rasters.product_sources import Reading, open_files
from pti_plugin.core.rasters.products import NONE, read_products
from pti_plugin.core.rasters.recognition import (
    BY_NAME,
    BY_RECORD,
    BY_STRUCTURE,
    STATED,
    identify,
    near_to,
    recognise,
    stem_of,
)
from support import Log, write_raster

PRODUCTS = read_products()
#: a stem of each preset
STEMS = {
    "cci_pfr_v3": "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-2003-fv03.0",
    "cci_gtd_v3": "ESACCI-PERMAFROST-L4-GTD-MODISLST_CRYOGRID-AREA4_PP-2003-fv03.0",
    "cci_alt_v3": "ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2003-fv03.0",
    "cci_pfr": "ESACCI-PERMAFROST-L4-PFR-ERA5_MODISLST_BIASCORRECTED-AREA4_PP-1999-fv05.0",
    "cci_gtd": "ESACCI-PERMAFROST-L4-GTD-MODISLST_CRYOGRID-AREA4_PP-2003-fv04.0",
    "cci_alt": "ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2021-fv04.0",
    "obu_pp": "UiO_PEX_PERPROB_5.0_20181128_2000_2016_NH", "obu_magt": "UiO_PEX_MAGTM_5.0_20181127_2000_2016_NH",
    "nieer_pp": "Ran2022_NH_permafrost_probability", "nieer_magt": "NIEER_NH_MAGT", "ipa": "nhipa",
    "landcover_cci": "C3S-LC-L4-LCCS-Map-300m-P1Y-2018-v2.1.1.area-subset.90.180.45.-180", "glcc_goode": "gbogeg20",
    "glcc": "gbogegeo20", "cavm": "raster_cavm_v1", "perft": "AMSR_36V_CO_FT_2010_day360_v04",
    "perft_overpass": "AMSR_36V_PM_FT_2010_day360_v04", "freeze_thaw_25km": "SMMR_37V_CO_FT_1980_day275_v05.1",
    "mod10cm": "MOD10CM.A2001274.061", "glass_lst": "GLASS06A01.V01.A2001001.h20v01.2022021",
    "glass_ndvi": "GLASS13B01.V10.A2001193.2023068", "elevation": "wc2.1_30s_elev", "soilgrids_soc": "soc_0-5cm_mean",
    "soilgrids_cfvo": "cfvo_60-100cm_mean_1000", "soilgrids_bdod": "bdod_15-30cm_mean", "gpm2": "peatGPA22WGS_2cl",
    "soilgrids_wv0033": "wv0033_5-15cm_mean"}
ENDINGS = ("", ".tif", ".TIF", ".vrt", ".hdf", ".nc", ".h5", ".byte", ".img", ".zip", ".tif.zip", ".nc.gz", ".TIFF")


def test_there_is_a_stem_of_every_preset():
    assert list(PRODUCTS) == sorted(STEMS, key=list(PRODUCTS).index)


@pytest.mark.parametrize("name, stem", STEMS.items())
def test_the_ending_of_a_name_does_not_count(name, stem):
    for ending in ENDINGS:
        found = [product.name for product in PRODUCTS.values() if recognise({product.name: product}, stem + ending)]
        assert found == [name], ending
        assert near_to({name: PRODUCTS[name]}, stem + ending) == ()


def test_only_endings_of_formats_are_left_out():
    assert stem_of("MOD10CM.A2001001.061.tif") == "mod10cm.a2001001.061"
    assert stem_of("x.nc.zip") == "x" and stem_of("wc2.1_30s_elev") == "wc2.1_30s_elev" and stem_of(".tif") == ".tif"


@pytest.mark.parametrize("name, near, said", [
    ("SSMI_37V_PM_FT_2012_day366.h5", "freeze_thaw_25km", "AM or PM hold one overpass"),
    ("UiO_PEX_MAGTSTD_5.0_20181127_2000_2016_NH.tif", "obu_magt", "spread of the temperature"),
    ("soc_0-5cm_Q0.05.tif", "soilgrids_soc", "The quantiles"), ("ocs_0-30cm_mean.tif", "soilgrids_soc", "carbon stock"),
    ("ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA27_PP-2021-fv05.0.tif", "cci_pfr", "AREA27 is Antarctica"),
    ("MOD10C1.A2001001.061.2020039043917.tif", "mod10cm", "MOD10C1"), ("goge2_0ll.tif", "glcc", "have no header"),
    ("wc2.1_30s_bio_1.tif", "elevation", "are climate"), ("my_cavm.tif", "cavm", "")])
def test_a_near_miss_is_said_and_not_taken(tmp_path, name, near, said):
    found = identify(write_raster(tmp_path / name, np.ones((2, 2))), PRODUCTS)
    assert found.product is None and near in [product.name for product in found.near]
    log = Log()
    found.tell(log)
    assert len(log.warnings) == 1 and f"The name {name} comes near that of" in log.warnings[0]
    assert said in log.warnings[0] and PRODUCTS[near].title in log.warnings[0]


#: names that come near those of presets whose stored numbers are not values, or hold codes of cells without one
NEAR = {"snow_MOD10CM_200101": "mod10cm", "MOD10C2.A2001001.061": "mod10cm", "Snow_Cover_Monthly_CMG_200101": "mod10cm",
        "NDVI_GLASS_2001": "glass_ndvi", "my_GLASS_NDVI_2001": "glass_ndvi", "LST_GLASS_2001": "glass_lst",
        "soc_0-5cm": "soilgrids_soc", "SoilGrids_soc_0-5cm_mean": "soilgrids_soc", "soc_0-5cm_Q0.5": "soilgrids_soc",
        "out_cfvo_0-5cm_mean": "soilgrids_cfvo", "bdod_0-5cm": "soilgrids_bdod", "x_wv0033_0-5cm": "soilgrids_wv0033",
        "AMSRE_FT_2003_day001": "perft"}


@pytest.mark.parametrize("name", NEAR)
def test_whole_numbers_under_a_name_that_comes_near_stop_until_it_is_stated(tmp_path, name):
    folder = tmp_path / "whole"
    folder.mkdir()
    stored = np.arange(12, dtype="int16").reshape(3, 4)
    for ending in (".tif", ".img.tif"):
        path = write_raster(folder / (name + ending), stored)
        with pytest.raises(InputError, match=rf"comes near that of .*without a scale.*Set PRODUCT to .*{NEAR[name]}.* "
                                             r"or to none if the numbers are to be taken as they are"):
            open_files([path], Reading(), Log())
        assert open_files([path], Reading(product=NONE), Log()).product is None
        assert open_files([path], Reading(product=NEAR[name]), Log()).product.name == NEAR[name]
    # fractions, and numbers of a stated scale, are said
    for scale, values in ((None, stored / 2), (0.5, stored)):
        log = Log()
        assert open_files([write_raster(tmp_path / f"{name}.tif", values, scale=scale)], Reading(), log).product is None
        assert any("comes near" in warning for warning in log.warnings)


@pytest.mark.parametrize("name, said", [("wc2.1_30s_bio_1.tif", "are climate"), ("gbog_other.tif", "have no header"),
                                        ("my_cavm.tif", "comes near that of CAVM"), ("C3S-LC-L4-WB-Map.tif", "(WB)")])
def test_a_near_name_of_a_product_that_is_stored_as_it_is_only_warns(tmp_path, name, said):
    log = Log()
    path = write_raster(tmp_path / name, np.arange(12, dtype="int16").reshape(3, 4))
    assert open_files([path], Reading(), log).product is None and said in log.warnings[0]


def test_a_file_that_cannot_be_opened_is_explained_where_its_name_is_known(tmp_path):
    (tmp_path / "goge2_0g.img").write_bytes(bytes(1000))
    with pytest.raises(InputError, match=r"goge2_0g\.img cannot be opened.*have no header.*take gbogeg20\.tif"):
        identify(str(tmp_path / "goge2_0g.img"), PRODUCTS)
    (tmp_path / "other.img").write_bytes(bytes(1000))
    with pytest.raises(InputError, match=r"other\.img cannot be opened") as caught:
        identify(str(tmp_path / "other.img"), PRODUCTS)
    assert "header" not in str(caught.value)


def test_a_role_that_needs_a_product_asks_for_it(tmp_path):
    path = write_raster(tmp_path / "carbon.tif", np.ones((2, 2)))
    with pytest.raises(InputError, match=r"carbon\.tif is given as SOC, but it is not known what its values mean: .* "
                                         r"Set PRODUCT to soilgrids_soc, or to none if the values are in g/kg already"):
        identify(path, PRODUCTS).require("SOC", ("soilgrids_soc",), PRODUCTS)
    assert identify(path, PRODUCTS, NONE).require("SOC", ("soilgrids_soc",), PRODUCTS) is None
    near = write_raster(tmp_path / "soc_0-5cm_Q0.5.tif", np.ones((2, 2)))
    with pytest.raises(InputError, match="comes near that of SoilGrids soil organic carbon.*The quantiles.*Set PROD"):
        identify(near, PRODUCTS).require("SOC", ("soilgrids_soc",), PRODUCTS)
    stated = identify(path, PRODUCTS, "soilgrids_soc")
    assert stated.how == STATED and stated.require("SOC", (), PRODUCTS).name == "soilgrids_soc"


def test_what_the_name_does_not_tell_the_structure_does(tmp_path):
    pytest.importorskip("pyhdf")
    pytest.importorskip("netCDF4")
    files = {"mod10cm": p.mod10cm(tmp_path), "landcover_cci": p.landcover_cci_netcdf(tmp_path),
             "cci_pfr": p.cci_permafrost_v4(tmp_path), "cci_pfr_v3": p.cci_permafrost_v3(tmp_path),
             "cci_alt": p.cci_permafrost_v4(tmp_path, "ALT"), "cci_alt_v3": p.cci_permafrost_v3(tmp_path, "ALT")}
    for name, path in files.items():
        assert identify(path, PRODUCTS).how == BY_NAME
        renamed = shutil.copy(path, str(tmp_path / f"renamed_{name}.{path.rsplit('.', 1)[-1]}"))
        found = identify(renamed, PRODUCTS)
        assert (found.how, found.product.name) == (BY_STRUCTURE, name)
        log = Log()
        found.tell(log)
        assert "by what it holds" in log.lines[0] and PRODUCTS[name].title in log.lines[0]
    plain = write_raster(tmp_path / "plain.tif", np.ones((2, 2)))
    found = identify(plain, PRODUCTS)
    assert (found.product, found.how, found.near) == (None, "", ())


def test_an_attribute_kept_in_a_conversion_tells_the_product(tmp_path):
    path = write_raster(tmp_path / "mine.tif", np.ones((2, 2)), metadata={"SHORTNAME": "MOD10CM"})
    assert identify(path, PRODUCTS).product.name == "mod10cm"
    assert identify(write_raster(tmp_path / "b.tif", np.ones((2, 2)), metadata={"SHORTNAME": "MOD10C1"}),
                    PRODUCTS).product is None


def test_a_virtual_raster_is_what_the_files_inside_it_are(tmp_path):
    from osgeo import gdal

    paths = [write_raster(tmp_path / f"soc_{depth}cm_mean.tif", np.full((2, 2), 30, "int16"))
             for depth in ("0-5", "5-15")]
    mine = str(tmp_path / "mine.vrt")
    gdal.BuildVRT(mine, paths, separate=True).FlushCache()
    assert identify(mine, PRODUCTS).product.name == "soilgrids_soc"
    # one that changes the values is not
    gdal.Translate(mine, paths[0], format="VRT", scaleParams=[[0, 100, 0, 1]]).FlushCache()
    assert identify(mine, PRODUCTS).product is None
    other = write_raster(tmp_path / "other.tif", np.full((2, 2), 30, "int16"))
    gdal.BuildVRT(mine, [paths[0], other], separate=True).FlushCache()
    assert identify(mine, PRODUCTS).product is None


def test_structures_that_fit_several_products_are_refused(tmp_path):
    path = write_raster(tmp_path / "mine.tif", np.ones((2, 2)), metadata={"kind": "two"})
    table = tmp_path / "own.csv"
    table.write_text("product,title,kind,files,signs\na,First,number,a*,kind=t*\nb,Second,number,b*,kind=two;kind=x\n",
                     encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.tif may be First \(a\) or Second \(b\): its structure fits each"):
        identify(path, read_products(table))
    assert identify(path, read_products(table), "b").product.name == "b"


def test_a_record_of_the_plugin_goes_before_the_name(tmp_path):
    path = write_raster(tmp_path / "peatGPA22WGS_2cl.tif", np.full((2, 2), 50, "uint8"),
                        metadata={"PTI_PRODUCT": "gpm2"})
    found = identify(path, PRODUCTS)
    assert found.how == BY_RECORD and found.product.made
    # nothing is done twice
    assert (found.product.recode, found.product.absent, found.product.codes) == ((), None, (0, 100, 50))
    assert found.product.quantity.high == 100 and found.product.quantity.low == 0
    soil = identify(write_raster(tmp_path / "a.tif", np.ones((2, 2)), metadata={"PTI_PRODUCT": "soilgrids_soc"}),
                    PRODUCTS)
    assert soil.product.scale == 1.0 and soil.product.quantity == PRODUCTS["soilgrids_soc"].quantity
    unknown = write_raster(tmp_path / "c.tif", np.ones((2, 2)), metadata={"PTI_PRODUCT": "of_a_lost_table"})
    assert identify(unknown, PRODUCTS).product is None


def test_a_variable_that_the_product_does_not_have_is_not_it(tmp_path):
    pytest.importorskip("netCDF4")
    path = p.cci_permafrost_v4(tmp_path, "GTD")
    for variable in ("T2m", "T10m", "GST"):
        assert identify(variable_of(path, variable), PRODUCTS).product.name == "cci_gtd"
        assert identify(path, PRODUCTS, variable=variable).product.name == "cci_gtd"
    for found in (identify(variable_of(path, "T2m_uncertainty"), PRODUCTS),
                  identify(path, PRODUCTS, variable="T2m_uncertainty")):
        assert found.product is None and [product.name for product in found.near] == ["cci_gtd"]


@pytest.mark.parametrize("name, ending", list(itertools.product(
    ("soc_0-5cm_mean", "GLASS13B01.V10.A2001193.2023068"), (".tif", ".vrt", ".hdf", ".img"))))
def test_files_of_any_format_are_recognised(tmp_path, name, ending):
    from osgeo import gdal

    path = write_raster(tmp_path / "x.tif", np.full((2, 2), 300, "int16"))
    place = str(tmp_path / f"{name}{ending}")
    kind = {".tif": "GTiff", ".vrt": "VRT", ".hdf": "GTiff", ".img": "HFA"}[ending]
    gdal.Translate(place, path, format=kind).FlushCache()
    assert identify(place, PRODUCTS).product.name == ("glass_ndvi" if name.startswith("G") else "soilgrids_soc")
