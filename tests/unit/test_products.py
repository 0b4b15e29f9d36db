"""The table of presets: every row is read, every mistake in it is named with its line and column, files are told apart
by name and variable."""

import csv
import re

import numpy as np
import pytest

from pti_plugin.core.common.errors import InputError
from pti_plugin.core.common.resources import resource
from pti_plugin.core.rasters.products import COLUMNS, NONE, RECOGNISE, Origin, parse_recode, read_products
from pti_plugin.core.rasters.raster import CLASS, NUMBER
from pti_plugin.core.rasters.recognition import choose, recognise

PRODUCTS = read_products()

#: file names as published, and the preset that each must find
PUBLISHED = {
    "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-2003-fv03.0.nc": "cci_pfr_v3",
    "ESACCI-PERMAFROST-L4-GTD-ERA5_MODISLST_BIASCORRECTED-AREA4_PP-1997-fv03.0.nc": "cci_gtd_v3",
    "ESACCI-PERMAFROST-L4-ALT-MODISLST_CRYOGRID-AREA4_PP-2019-fv03.0.nc": "cci_alt_v3",
    "ESACCI-PERMAFROST-L4-MODIS-PFR-AREA4_PP-2010-fv01.0.nc": "cci_pfr_v3",
    "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA4_PP-2021-fv04.0.nc": "cci_pfr",
    "ESACCI-PERMAFROST-L4-GTD-MODISLST_CRYOGRID-AREA4_PP-2023-fv05.0.nc": "cci_gtd",
    "ESACCI-PERMAFROST-L4-ALT-ERA5_MODISLST_BIASCORRECTED-AREA4_PP-1998-fv05.0.nc": "cci_alt",
    "UiO_PEX_PERPROB_5.0_20181128_2000_2016_NH.tif": "obu_pp",
    "UiO_PEX_PERPROB_3.0_20171201_2000_2016_NH.tif": "obu_pp",
    "UiO_PEX_MAGTM_5.0_20181127_2000_2016_NH.tif": "obu_magt",
    "Ran2022_NH_permafrost_probability.tif": "nieer_pp",
    "Ran2022_NH_MAGT.tif": "nieer_magt",
    "nhipa.byte": "ipa",
    "ipa_nhipa_laea_12.5km.tif": "ipa",
    "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7cds.nc": "landcover_cci",
    "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7.tif": "landcover_cci",
    "ESACCI-LC-L4-LCCS-Map-300m-P1Y-1992_2015-v2.0.7.tif": "landcover_cci",
    "C3S-LC-L4-LCCS-Map-300m-P1Y-2022-v2.1.1.nc": "landcover_cci",
    "C3S-LC-L4-LCCS-Map-300m-P1Y-2018-v2.1.1.area-subset.90.180.45.-180.nc": "landcover_cci",
    "gbogeg20.tif": "glcc_goode",
    "gbogeg20.img": "glcc_goode",
    "gbogegeo20.tif": "glcc",
    "raster_cavm_v1.tif": "cavm",
    "AMSR_36V_CO_FT_2010_day360_v04.h5": "perft",
    "AMSR_36V_CO_FT_2010_day360_v04.tif": "perft",
    "AMSR_36V_AM_FT_2010_day360_v04.h5": "perft_overpass",
    "AMSR_36V_PM_FT_2010_day360_v04.tif": "perft_overpass",
    "SSMI_37V_CO_FT_2012_day366.tif": "freeze_thaw_25km",
    "SMMR_37V_CO_FT_1980_day275_v05.1.h5": "freeze_thaw_25km",
    "MOD10CM.A2001001.061.2020039043917.hdf": "mod10cm",
    "MYD10CM.A2004061.061.2020039043917.hdf": "mod10cm",
    "GLASS06A01.V01.A2001001.h11v02.2022021.hdf": "glass_lst",
    "GLASS08B31.V40.A2001001.2021259.hdf": "glass_lst",
    "GLASS13B01.V10.A2024361.2023068.hdf": "glass_ndvi",
    "GLASS13D01.V10.A2017233.h26v04.2023064.hdf": "glass_ndvi",
    "wc2.1_30s_elev.tif": "elevation",
    "RUS_wc2.1_30s_elev.tif": "elevation",
    "soc_0-5cm_mean_1000.tif": "soilgrids_soc",
    "cfvo_60-100cm_mean.tif": "soilgrids_cfvo",
    "bdod_15-30cm_mean_5000.tif": "soilgrids_bdod",
    "wv0033_5-15cm_mean_1000.tif": "soilgrids_wv0033",
    "peatGPA22WGS_2cl.tif": "gpm2",
}

#: other layers of the same makers, and files whose names are near by chance
FOREIGN = (
    "ESACCI-PERMAFROST-L4-PFR-MODISLST_CRYOGRID-AREA27_PP-2021-fv05.0.nc", "Ran2022_NH_ALT.tif",
    "UiO_PEX_MAGTSTD_5.0_20181127_2000_2016_NH.tif", "ESACCI-LC-L4-WB-Map-150m-P13Y-2000-v4.0.tif",
    "France_2022_probability.tif", "principal_laea.tif",
    "SSMI_37V_PM_FT_2012_day366.h5", "SMMR_37V_AM_FT_1980_day275_v05.1.h5", "MOD10C1.A2001001.061.2020039043917.hdf",
    "MOD10A1.A2001001.h10v02.061.2020039043917.hdf", "GLASS01B01.V60.A2001001.2022019.hdf", "wc2.1_30s_bio_1.tif",
    "soc_0-5cm_Q0.05.tif", "soc_0-5cm_uncertainty.tif", "ocs_0-30cm_mean_1000.tif", "3B-MO.MS.MRG.3IMERG.GPM.2020.tif",
    "era5_t2m_tp_monthly_clim_2000-2025_0.25deg_45N.nc", "magt.tif", "cavm.tif", "elev.tif")


def table(folder, *rows, columns=("product", "kind", "files")):
    """Write a table of presets of one's own; a row is a dict, columns that are only in it are added."""
    columns = [*columns, *dict.fromkeys(key for row in rows for key in row if key not in columns)]
    path = folder / "own.csv"
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"product": "mine", "kind": NUMBER, "files": "mine*.tif", **row} for row in rows)
    return path


def test_the_plugins_table_has_every_product_of_the_method():
    assert {product.input for product in PRODUCTS.values()} == {f"I{number}" for number in range(1, 15)}
    with open(resource("tables", "products.csv"), encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        assert tuple(reader.fieldnames) == COLUMNS
        assert [row["product"] for row in reader] == list(PRODUCTS)
    for product in PRODUCTS.values():
        # what classes may be and what says nodata lie in the plausible range, numbers have one
        assert product.quantity.low > -1e30 and product.quantity.high < 1e30, product.name
        assert all(product.quantity.low <= code <= product.quantity.high for code in product.codes), product.name
        assert product.kind == NUMBER or product.codes, product.name


#: presets of which no DOI, no terms or no word on an account could be confirmed
UNKNOWN = {"doi": {"cci_gtd_v3", "perft", "perft_overpass", "gpm2"}, "licence": {"gpm2"}, "login": {"ipa"}}


def test_every_preset_says_where_its_product_comes_from():
    for product in PRODUCTS.values():
        origin = product.source
        assert re.fullmatch(r"https://[\w.-]+(/[\w./%-]*)?", origin.url), product.name
        assert origin.size and origin.login in ("yes", "no", ""), product.name
        for column, names in UNKNOWN.items():
            assert bool(getattr(origin, column)) == (product.name not in names), (product.name, column)
        assert len(set(origin.doi)) == len(origin.doi)
    # what is not confirmed is said, of all others nothing
    assert {product.name for product in PRODUCTS.values() if product.source.assumed} == {
        "cci_pfr_v3", "cci_gtd_v3", "cci_pfr", "cci_gtd", "obu_pp", "obu_magt", "nieer_pp", "nieer_magt", "perft",
        "perft_overpass", "glass_lst", "glass_ndvi"}


def test_what_the_presets_say_of_scales_flags_and_meaning():
    assert PRODUCTS["mod10cm"].keep == (0.0, 100.0) and PRODUCTS["mod10cm"].period == 12
    assert PRODUCTS["glass_ndvi"].scale == 1e-4 and set(PRODUCTS["glass_ndvi"].flags) == {25500, -3000, 32767}
    assert PRODUCTS["mod10cm"].flags == (211, 250, 253, 254, 255)
    for name in ("cci_alt", "cci_alt_v3"):
        assert PRODUCTS[name].scale == 0.01 and PRODUCTS[name].flags == (65535,)
    assert PRODUCTS["perft"].codes == (0, 1, 2, 3) and PRODUCTS["perft_overpass"].codes == (0, 1)
    assert PRODUCTS["perft"].keep == PRODUCTS["freeze_thaw_25km"].keep == (0.0, 3.0)
    assert PRODUCTS["obu_pp"].stored_unit == "fraction"
    assert PRODUCTS["obu_pp"].quantity.conversions["fraction"] == (100, 0)
    assert PRODUCTS["gpm2"].recode == ((0, 0), (1, 100), (2, 50)) and PRODUCTS["gpm2"].absent == 0
    assert PRODUCTS["glcc_goode"].crs_wrong
    assert PRODUCTS["glcc_goode"].extent == (-20015500, 20015500, -8673500, 8673500)
    assert PRODUCTS["cci_pfr"].absent == PRODUCTS["cci_pfr_v3"].absent == 0 and PRODUCTS["cci_alt"].absent is None
    assert {name: PRODUCTS[f"soilgrids_{name}"].scale for name in ("soc", "cfvo", "bdod", "wv0033")} == {
        "soc": 0.1, "cfvo": 0.1, "bdod": 0.01, "wv0033": 0.1}


def test_the_sphere_of_glcc_is_far_from_wgs_84():
    """docs/dataset.md: north of 45° the map would lie 6 to 40 km off."""
    pyproj = pytest.importorskip("pyproj")
    longitude, latitude = np.meshgrid(np.arange(-170.0, 180.0, 20.0), np.arange(45.0, 90.0, 10.0))
    # places on the sphere, whose latitudes are not changed
    x, y = pyproj.Proj(PRODUCTS["glcc_goode"].crs)(longitude, latitude)
    taken_for = pyproj.Proj("+proj=igh +datum=WGS84 +units=m")(x, y, inverse=True)
    off = np.array(pyproj.Geod(ellps="WGS84").inv(longitude, latitude, *taken_for)[2]) / 1000
    assert 5 < off.min() < 7 and 35 < off.max() < 45


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_is_recognised_by_the_name_it_is_published_under(name):
    found = [product.name for product in PRODUCTS.values() if recognise({product.name: product}, name)]
    assert found == [PUBLISHED[name]]
    assert recognise(PRODUCTS, name.upper()).name == PUBLISHED[name]


@pytest.mark.parametrize("name", FOREIGN)
def test_no_foreign_file_is_taken_for_a_product(name):
    assert recognise(PRODUCTS, name) is None


def test_a_product_needs_one_of_its_variables_where_the_file_has_any():
    name = "ESACCI-PERMAFROST-L4-GTD-MODISLST_CRYOGRID-AREA4_PP-2005-fv03.0.nc"
    assert recognise(PRODUCTS, name, ["GST", "T1m", "T2m"]).name == "cci_gtd_v3"
    assert recognise(PRODUCTS, name, ["ALT"]) is None


def test_choosing():
    name = "wc2.1_30s_elev.tif"
    assert choose(PRODUCTS, RECOGNISE, name).name == "elevation"
    assert choose(PRODUCTS, RECOGNISE, "mine.tif") is None
    assert choose(PRODUCTS, NONE, name) is None
    assert choose(PRODUCTS, "elevation", "mine.tif").name == "elevation"
    with pytest.raises(InputError, match="There is no product 'height'. The products are cci_pfr_v3, "):
        choose(PRODUCTS, "height", name)
    with pytest.raises(InputError, match=r"wc2\.1_30s_elev\.tif is named like Elevation of .* \(elevation\), not like "
                                         r"SoilGrids bulk density\. Set PRODUCT to elevation, to none, or give"):
        choose(PRODUCTS, "soilgrids_bdod", name)
    with pytest.raises(InputError, match=r"my\.hdf is not MOD10CM .*no variable Snow_Cover_Monthly_CMG, but LST, QC\."):
        choose(PRODUCTS, "mod10cm", "my.hdf", ["QC", "LST"])
    assert choose(PRODUCTS, "mod10cm", "my.hdf", ["Snow_Cover_Monthly_CMG", "QC"]).name == "mod10cm"


def test_ones_own_table_goes_before_the_plugins(tmp_path):
    own = table(tmp_path, {"product": "elevation", "title": "My heights", "files": "my_dem*.tif", "unit": "m"},
                {"product": "soc_mine", "files": "soc_*.tif", "unit": "g/kg", "high": "900"})
    found = read_products(own)
    assert list(found)[:2] == ["elevation", "soc_mine"] and set(found) == {"soc_mine", *PRODUCTS}
    assert found["elevation"].title == "My heights" and found["elevation"].quantity.high == 1e30
    assert recognise(found, "soc_0-5cm_mean_1000.tif").name == "soc_mine"
    assert recognise(found, "wc2.1_30s_elev.tif") is None
    assert recognise(found, "bdod_0-5cm_mean_1000.tif").name == "soilgrids_bdod"


def test_a_row_may_leave_all_columns_but_two_empty(tmp_path):
    product = read_products(table(tmp_path, {"files": "a.tif"}))["mine"]
    quantity = product.quantity
    assert (quantity.title, quantity.unit, quantity.conversions) == ("mine", "", {})
    # any number will do, of whatever sign
    assert (quantity.low, quantity.high, quantity.least_high) == (-1e30, 1e30, -1e30)
    assert (product.title, product.input, product.kind, product.stored_unit) == ("mine", "", NUMBER, "")
    assert (product.scale, product.offset, product.flags, product.keep, product.codes) == (1.0, 0.0, (), (), ())
    assert (product.crs, product.crs_wrong, product.extent, product.period) == ("", False, (), 0)


def test_all_columns_of_a_row_are_read(tmp_path):
    product = read_products(table(tmp_path, {
        "title": "My layer", "input": "I1", "files": "a*.nc; b*.nc", "variables": "T;U", "unit": "degC",
        "conversions": "K 1 -273.15; F 0.5556 -17.78", "low": "-5", "high": "5", "least_high": "1", "stored_unit": "K",
        "scale": "0.1", "offset": "2", "flags": "7; 8.5", "keep": "-4..4", "crs": "EPSG:3995", "crs_wrong": "yes",
        "extent": "0,10,20,30", "period": "12", "down": "med", "up": "cubic", "absent": "0", "note": "odd",
        "cell": "0.5", "shape": "20x20", "near": "c*;d*", "siblings": "c is another", "assumed": "all",
        "signs": "variable=T & crs=projected; kind=x", "url": "https://a.b/c", "doi": "10.5067/A.1;10.17632/b",
        "licence": "CC0", "login": "no", "size": "small"}))["mine"]
    assert (product.title, product.input, product.kind, product.note) == ("My layer", "I1", NUMBER, "odd")
    assert (product.files, product.variables) == (("a*.nc", "b*.nc"), ("T", "U"))
    quantity = product.quantity
    assert (quantity.unit, quantity.low, quantity.high, quantity.least_high) == ("degC", -5, 5, 1)
    assert quantity.conversions == {"K": (1, -273.15), "degF": (0.5556, -17.78)}
    assert (product.stored_unit, product.scale, product.offset) == ("K", 0.1, 2)
    assert (product.flags, product.keep, product.absent) == ((7, 8.5), (-4, 4), 0)
    assert (product.crs, product.crs_wrong, product.extent) == ("EPSG:3995", True, (0, 10, 20, 30))
    assert (product.period, product.down, product.up) == (12, "med", "cubic")
    assert (product.cell, product.shape) == (0.5, (20, 20))
    assert (product.near, product.siblings) == (("c*", "d*"), "c is another")
    assert product.signs == ((("variable", "T"), ("crs", "projected")), (("kind", "x"),))
    assert product.source == Origin("https://a.b/c", ("10.5067/A.1", "10.17632/b"), "CC0", "no", "small", "all")
    assert product.own and not PRODUCTS["cavm"].own
    product = read_products(table(tmp_path, {"kind": CLASS, "codes": "1;2", "recode": "1=10; other=0"}))["mine"]
    assert (product.kind, product.codes, product.recode) == (CLASS, (1, 2), ((1, 10), ("other", 0)))


@pytest.mark.parametrize("column, text, wanted", [
    ("product", "My layer", "small letters"), ("product", "", "small letters"), ("product", "none", "small letters"),
    ("kind", "numbers", "one of number, class"), ("kind", "", "one of number, class"),
    ("files", " ; ", "at least one file name"), ("low", "cold", "a number"), ("high", "-1e31", "above low"),
    ("high", "much", "a number"), ("scale", "nan", "a number"), ("offset", "1,5", "a number"),
    ("least_high", "inf", "a number"), ("absent", "no", "a number"), ("conversions", "K 1", "such as 'K 1 -273.15'"),
    ("conversions", "K one 0", "such as 'K 1 -273.15'"), ("stored_unit", "K", "the unit or one of the conversions"),
    ("flags", "1,2", "semicolons"), ("codes", "1-5", "semicolons"), ("keep", "0-100", "the lower first"),
    ("keep", "100..0", "the lower first"), ("crs_wrong", "maybe", "one of yes, no"),
    ("extent", "0,10", "four numbers"), ("extent", "10,0,20,30", "four numbers"), ("period", "12.5", "a whole number"),
    ("period", "-1", "a whole number"), ("down", "sinc", "one of auto, near"), ("up", "biggest", "one of auto, near"),
    ("recode", "1=2", "empty for numbers"), ("cell", "-1", "a positive number"),
    ("cell", "1", "with extent beside it"), ("shape", "20", "columns x rows"), ("shape", "20x20", "columns x rows"),
    ("signs", "variable", "conditions such as"), ("signs", "a=b & =c", "conditions such as"),
    ("url", "www.nasa.gov", "begins with https"), ("doi", "5067/A", "a DOI"),
    ("doi", "10.5067/A,10.5067/B C", "a DOI"), ("login", "maybe", "one of yes, no")])
def test_a_mistake_in_a_row_is_named_with_its_line_and_column(tmp_path, column, text, wanted):
    path = table(tmp_path, {"product": "right"}, {column: text})
    with pytest.raises(InputError, match=rf"^own\.csv, line 3: {column} is '.*'; it must be .*{wanted}"):
        read_products(path)


@pytest.mark.parametrize("text, said", [("1=2; 1=3", "code 1 is given twice"), ("1-2", "'1-2' is no pair of codes"),
                                        ("a=2", "'a=2' is no pair of codes"), ("1=", "'1=' is no pair of codes")])
def test_a_mistake_in_a_recode_is_named(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        parse_recode(text)
    with pytest.raises(InputError, match=rf"^own\.csv, line 2: recode: .*{said}"):
        read_products(table(tmp_path, {"kind": CLASS, "recode": text}))


def test_a_recode_keeps_its_order_and_other():
    assert parse_recode(" 2=50;1 = 100; other=-1 ;") == ((2, 50), (1, 100), ("other", -1))
    assert parse_recode("") == ()


def test_a_product_that_stands_there_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^own\.csv, line 4: the product mine stands in the table twice"):
        read_products(table(tmp_path, {}, {"product": "other"}, {}))


@pytest.mark.parametrize("columns, said", [
    ("product,kind,files,units", "has the unknown column 'units'"), ("product,kind,low", "lacks the column 'files'"),
    ("product,kind,files,low,low", "has twice the column 'low'"), ("", "lacks the column 'product'")])
def test_wrong_columns_are_named(tmp_path, columns, said):
    path = tmp_path / "own.csv"
    path.write_text(f"{columns}\nmine,number,a.tif\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"^own\.csv, line 1: the table of products {said}.*Its columns are product,"):
        read_products(path)


def test_an_empty_file_is_a_table_without_columns(tmp_path):
    (tmp_path / "own.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"^own\.csv, line 1: .*lacks the column 'product'"):
        read_products(tmp_path / "own.csv")


def test_a_value_too_many_is_named(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("product,kind,files,extent\nmine,number,a.tif,0,10,20,30\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"^own\.csv, line 2: there are more values than columns.*quotation marks"):
        read_products(path)


def test_broken_quotation_marks_are_named(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text('product,kind,files\nright,number,a.tif\nmine,number,"b.tif\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"^own\.csv, line 3: .*quotation marks"):
        read_products(path)


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes("product,kind,files\nright,number,a.tif\nmine,number,hö.tif\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"^own\.csv, line 3: the table of products is not in UTF-8"):
        read_products(path)


def test_a_byte_order_mark_and_foreign_line_ends_do_not_matter(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes("\ufeffproduct,kind,files\r\nmine,number,hö.tif\r\n".encode())
    assert read_products(path)["mine"].files == ("hö.tif",)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"The table of products .*own\.csv cannot be read: No such file"):
        read_products(tmp_path / "own.csv")
