"""The point layer of a sample: its fields, what its predictors are, and the areas of the ranks, which travel with it.

Fields: ``pti`` (the rank), ``row`` and ``column`` (the cell), ``longitude`` and ``latitude`` (its centre, WGS 84) and
one a predictor, named as the band it was read from, with the band's raw values, NULL where it is missing. A GeoPackage
holds groups, kinds and scaling ranges of the predictors, and the area of every rank on the map that was sampled, in its
layer's metadata; other formats have a file beside them.
"""

import json
import os
import re
from collections import namedtuple

from osgeo import gdal, ogr

from ..common import ranks
from ..common.errors import InputError
from ..common.schema import check, flag, from_json, listed, named, number, optional, record, shown, text
from ..ensembles.features import Feature
from ..rasters.gdal_errors import call
from ..rasters.vector import check_vector_file, write_points

#: item of the layer's metadata, and ending of the file beside other formats
FEATURES_ITEM, FEATURES_ENDING = "PTI_FEATURES", ".features.json"
VERSION = 1
CLASS_FIELD = "pti"
#: letters of a field's name in a shapefile (its table is a DBF)
_DBF_LETTERS = 10
#: fewer letters than these are no sign of a name that was cut
_LEAST_LETTERS = 5
#: fields by which programs number features
_NUMBERING = {"fid", "ogc_fid", "id", "gid", "objectid", "oid", "index"}
#: ``fields`` {predictor: field}, ``renamed`` [(field, predictor)] of those under another name, ``ignored`` fields
PredictorFields = namedtuple("PredictorFields", "fields renamed ignored")
_OWN_FIELDS = (
    (CLASS_FIELD, int, "", "PTI rank"),
    ("row", int, "", "row of the cell, from 0"),
    ("column", int, "", "column of the cell, from 0"),
    ("longitude", float, "degrees", "longitude of the cell's centre, WGS 84"),
    ("latitude", float, "degrees", "latitude of the cell's centre, WGS 84"),
)


def predictor_fields(wanted, names):
    """Return the PredictorFields of a layer: which of its fields ``names`` hold the predictors ``wanted``.

    A field bears the name of its predictor, in whatever case, or its first ten letters, as a shapefile cuts it, where
    that leaves one choice. Raises InputError for a field that looks like a predictor and cannot be matched, since the
    model would be trained without it.
    """
    own = {field[0] for field in _OWN_FIELDS} | _NUMBERING
    fields = {name: name for name in wanted if name in names}
    free = [name for name in names if name not in fields and name.lower() not in own]
    renamed = []
    for same in (_same_but_for_case, _is_cut):
        left = [name for name in wanted if name not in fields]
        pairs = [(field, name) for field in free for name in left if same(field, name)]
        for field, name in pairs:
            others = [pair for pair in pairs if pair != (field, name) and (pair[0] == field or pair[1] == name)]
            if others:
                told = ", ".join(f"'{a}' may be {b}" for a, b in sorted({(field, name), *others}))
                raise InputError(f"The fields of the sample points leave a choice: {told}. Rename the fields to the "
                                 f"names of the predictors, or remove those that are none.")
            fields[name] = field
            renamed.append((field, name))
            free.remove(field)
    left = [name for name in wanted if name not in fields]
    for field in free:
        like = [name for name in left if _looks_cut(field, name)]
        if like:
            raise InputError(f"The sample points have the field '{field}', which looks like {' or '.join(like)} with "
                             f"its name cut; the model would be trained without it. Rename the field to the name of "
                             f"the predictor, or remove it.")
    return PredictorFields(fields, renamed, free)


def _same_but_for_case(field, name):
    return field.lower() == name.lower()


def _is_cut(field, name):
    return len(field) == _DBF_LETTERS < len(name) and field.lower() == name[:_DBF_LETTERS].lower()


def _looks_cut(field, name):
    # a name that was cut and numbered, as coarse_f_1
    stem = re.sub(r"_?\d{1,2}$", "", field.lower()).rstrip("_")
    return _LEAST_LETTERS <= len(stem) < len(name) and name.lower().startswith(stem)


def check_samples_file(path, features):
    """Raise InputError or OutputError where samples with these predictors cannot be written as ``path``."""
    own = [field[0] for field in _OWN_FIELDS]
    taken = [feature.name for feature in features if feature.name.lower() in own]
    if taken:
        raise InputError(f"The predictor stack has a band '{taken[0]}', which is the name of a field of every sample "
                         f"layer. Rename the band.")
    check_vector_file(path, [*own, *(feature.name for feature in features)])


def write_samples(path, samples, staging, layer_name="samples"):
    """Write Samples (with rows and columns) as a point layer, an output of ``staging``; raises OutputError."""
    names = [feature.name for feature in samples.features]
    fields = list(_OWN_FIELDS) + [(feature.name, int if feature.categorical else float, "", feature.group)
                                  for feature in samples.features]
    own = zip(samples.y.tolist(), samples.rows.tolist(), samples.columns.tolist(), samples.longitude.tolist(),
              samples.latitude.tolist())
    keys = [field[0] for field in _OWN_FIELDS]
    rows = [{**dict(zip(keys, values)), **dict(zip(names, predictors))}
            for values, predictors in zip(own, samples.x.tolist())]
    text = features_text(samples.features, samples.areas)
    inside = os.path.splitext(str(path))[1].lower() == ".gpkg"
    if not inside:
        staging.write_text(f"{path}{FEATURES_ENDING}", text)
    write_points(path, rows, fields, "longitude", "latitude", layer_name, staging,
                 {FEATURES_ITEM: text} if inside else None)


def features_text(features, areas=None):
    """Return predictors and ``areas`` {rank: km²} as the JSON text that travels with a sample."""
    return json.dumps({"version": VERSION, "features": [
        {"name": feature.name, "group": feature.group, "categorical": feature.categorical, "low": feature.low,
         "high": feature.high} for feature in features],
        **({"area_km2": {str(rank): area for rank, area in areas.items()}} if areas else {})}, ensure_ascii=False)


#: what the statement of the predictors holds
_STATED = record({"version": number(VERSION, VERSION), "features": listed(record({
    "name": text(empty=False), "group": text(), "categorical": flag, "low": optional(number()),
    "high": optional(number())}), 1, 10_000)},
    {"area_km2": named(text(3, among=[str(code) for code in ranks.CODES]), number(0))})


def read_sample_features(path, layer=None):
    """Return (the Features that came with a sample layer, in the stack's order; {rank: km²}), each None without it.

    ``path``: the layer's file; ``layer``: the layer's name in it, the first one where None. Raises InputError where
    what came with it is damaged.
    """
    path = str(path)
    beside = path + FEATURES_ENDING
    if os.path.exists(beside):
        try:
            with open(beside, encoding="utf-8") as stream:
                return _parsed(stream.read(), beside)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{beside} cannot be read: {error}. Draw the samples again.") from error
    stated, _ = call(_layer_item, path, layer)
    return _parsed(stated, path) if stated else (None, None)


def _layer_item(path, name):
    source = gdal.OpenEx(path, gdal.OF_VECTOR)
    if source is None:
        return None
    layer = source.GetLayerByName(name) if name else source.GetLayer(0)
    return layer.GetMetadataItem(FEATURES_ITEM) if isinstance(layer, ogr.Layer) else None


def _parsed(given, place):
    what = f"The predictors stated with {place} are damaged, draw the samples again"
    content = from_json(given, what)
    if isinstance(content, dict) and content.get("version") not in (VERSION, None):
        raise InputError(f"The predictors stated with {place} have version {shown(content['version'])[1:-1]}; this "
                         f"plugin reads version {VERSION}. Draw the samples again, or update the plugin.")
    check(content, _STATED, what)
    features = tuple(Feature(item["name"], item["group"], item["categorical"], _limit(item["low"]),
                             _limit(item["high"])) for item in content["features"])
    areas = {int(rank): float(area) for rank, area in content.get("area_km2", {}).items()} or None
    names = [feature.name for feature in features]
    if len(set(names)) != len(names):
        raise InputError(f"{what}: {next(name for name in names if names.count(name) > 1)} is there twice.")
    return features, areas


def _limit(value):
    return None if value is None else float(value)
