"""Area by rank of the whole map and of zones: shares of ranks and tiers, PP-weighted area, means of predictors.

Method, section 7; the paper's Table 5. A cell belongs to a zone where its centre does, and counts with its true ground
area. Sums are exact, so no figure depends on the blocks. With a reference, the conceptual index that the map learned,
also how far the two agree in each zone, on the same cells as wall to wall (core/mapping/map_agreement.py).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..common.exact_sums import Addends, total
from ..common.tables import to_csv
from ..ensembles.features import KIND_TAG, MAX_TAG, MIN_TAG, PREDICTORS, RAW_UNIT_TAG
from ..index.pti import class_source, ranked_cells
from ..index.rank_comparison import PLACES
from ..learning.model_file import read_model
from ..mapping.map_agreement import TrainingPoints, check_buffer
from ..rasters.blocks import run_blocks
from ..rasters.exclusion import LeftOutClasses, excluding
from ..rasters.gdal_errors import open_raster
from ..rasters.grid import AREA_UNITS_PER_KM2, require_same
from ..rasters.product_sources import Reading, layer_in_role, refuse_wrong_names
from ..rasters.raster import NO_CLASS, NUMBER, SourceReader, read_info, source
from ..rasters.tally import Tally
from ..rasters.units import QUANTITIES, ZERO_CELSIUS, unit_named
from ..rasters.vector import check_vector_file, write_polygons
from .zone_polygons import ZoneCells, listed, name_order, read_zones

WHOLE = "Whole map"
#: a rank with a smaller share of a zone than this, in %, is not said to rule it, and the second is named too
HALF = 50.0
#: classes of a zone raster beyond this number are a sign of another kind of raster
MOST_CLASSES = 1000

#: columns of the table before those of the means: name, type, unit, description
FIELDS = (
    ("zone", str, "", "name of the zone"),
    ("area_km2", float, "km²", "geodesic area of the ranked cells"),
    ("pp_area_km2", float, "km²", "the same weighted with PP / 100"),
    ("cells", int, "", "ranked cells"),
    ("first_rank", int, "", "rank with the largest area, the lower one of equals"),
    ("first_percent", float, "%", "its share of the ranked area"),
    ("second_rank", int, "", "rank with the second largest area, where the first has under 50 %"),
    ("second_percent", float, "%", "its share of the ranked area"),
    *((f"{tier}_percent", float, "%", f"share of the tier {tier} of the ranked area") for tier in ranks.TIERS),
    *((f"area_{rank.code}_km2", float, "km²", rank.label) for rank in ranks.RANKS),
    ("polygon_km2", float, "km²", "geodesic area of the zone's polygons, ranked or not"),
)
#: columns after those of the means, where the map is compared with a reference
AGREEMENT_FIELDS = (
    ("compared_cells", int, "", "cells with a rank in map and reference, away from the training points"),
    ("compared_km2", float, "km²", "geodesic area of the cells compared"),
    ("agreement_percent", float, "%", "share of the area compared that has the same rank"),
    ("within_one_percent", float, "%", "share of the area compared that has the same rank or one next to it"),
)


@dataclass(frozen=True)
class Band:
    """A band whose means are taken: its ``name``, ``unit`` and Source, in that unit."""

    name: str
    unit: str
    item: object


@dataclass(frozen=True)
class ZoneKernel:
    """The sums of one block. ``runs``: the cells of each zone, or () where zones come as the classes ``ZONES``.

    ``points``: TrainingPoints away from which cells are compared with the reference, None to compare all.
    """

    runs: tuple
    bands: tuple
    pti_name: str
    zones_name: str
    reference_name: str = ""
    points: TrainingPoints | None = None

    def __call__(self, arrays, window, grid):
        """Return no raster, and the tallies by zone: its place, its class, or WHOLE."""
        index = arrays["PTI"].ravel()
        ranked = ranked_cells(index, self.pti_name)
        if not ranked.any():
            return {}, {}
        places = PLACES[np.where(ranked, index, ranks.NO_RANK)]
        areas = grid.cell_areas(window.row, window.rows, window.column, window.columns).ravel()
        percent = arrays["PP"].ravel() if "PP" in arrays else None
        weighted = None if percent is None else np.rint(areas * (np.nan_to_num(percent) / 100)).astype(np.int64)
        known, addends = [], []
        for layer in arrays.get("PREDICTORS", ()):
            known.append(~np.isnan(layer.ravel()))
            addends.append(Addends(np.where(known[-1], layer.ravel(), 0.0) * areas))
        compared, apart = self._compared(arrays, places, window, grid)
        cells, area, sums, covered = Counter(), Counter(), Counter(), np.zeros(index.size, dtype=np.uint16)
        for zone, inside in self._zones(arrays, window, ranked):
            tally = Tally.of(places[inside], areas[inside], len(ranks.CODES))
            cells.update({(zone, place): count for place, count in tally.cells.items()})
            area.update({(zone, place): amount for place, amount in tally.area.items()})
            if percent is not None:
                area[zone, "weighted"] += int(weighted[inside].sum())
                area[zone, "PP"] += int(areas[inside][~np.isnan(percent[inside])].sum())
            if compared is not None:
                valid = inside[compared[inside]]
                cells[zone, "compared"] += valid.size
                area[zone, "compared"] += int(areas[valid].sum())
                for steps, kind in ((0, "same"), (1, "near")):
                    area[zone, kind] += int(areas[valid[apart[valid] <= steps]].sum())
            for band, there, parts in zip(self.bands, known, addends):
                valid = inside[there[inside]]
                area[zone, "band", band] += int(areas[valid].sum())
                sums.update({(zone, band, part): value for part, value in parts.sums(valid).items()})
            if zone != WHOLE:
                covered[inside] += 1
        area["in no zone"] = int(areas[ranked & (covered == 0)].sum())
        area["in several zones"] = int(areas[covered > 1].sum())
        return {}, {"cells": cells, "area": area, "sums": sums}

    def _compared(self, arrays, places, window, grid):
        """Return (which cells are compared, how many ranks map and reference are apart there), (None, None) for no
        reference; flat arrays of the block."""
        if "REFERENCE" not in arrays:
            return None, None
        reference = arrays["REFERENCE"].ravel()
        others = PLACES[np.where(ranked_cells(reference, self.reference_name), reference, ranks.NO_RANK)]
        compared = (places >= 0) & (others >= 0)
        if self.points:
            rows, columns, _ = self.points.away(compared.reshape(window.rows, window.columns), grid, window)
            compared = np.zeros(compared.size, dtype=bool)
            compared[rows * window.columns + columns] = True
        return compared, np.abs(places - others)

    def _zones(self, arrays, window, ranked):
        """Yield (zone, places of its ranked cells in the block), the whole map first."""
        yield WHOLE, np.flatnonzero(ranked)
        for zone, runs in enumerate(self.runs):
            inside = runs.within(window)
            inside = inside[ranked[inside]]
            if inside.size:
                yield zone, inside
        if "ZONES" in arrays:
            classes = arrays["ZONES"].ravel()
            found = np.unique(classes[ranked])
            if len(found) > MOST_CLASSES:
                raise InputError(f"{self.zones_name} holds more than {MOST_CLASSES} classes. Check that it is a raster "
                                 f"of zones, such as climate classes or countries.")
            for code in found[found != NO_CLASS].tolist():
                yield code, np.flatnonzero(ranked & (classes == code))


@dataclass(frozen=True)
class ZoneInputs:
    """What is summarized: paths of rasters on one grid, and zones.

    ``layer``: ZoneLayer or None; ``classes``: path of a raster of zones or None; ``percent``: path of PP in % or None;
    ``predictors``: paths of rasters whose bands are averaged; ``chosen``: names of bands with commas between, all
    where empty; ``units``: text as in UNITS; ``left_out``: LeftOutClasses whose cells are not counted, or None;
    ``reference``: path of the conceptual index that the map is compared with, or None; ``model``: path of the model of
    the map, within ``buffer_km`` of whose training points cells are not compared, or None to compare all.
    """

    pti: str
    layer: object = None
    classes: str = None
    percent: str = None
    predictors: tuple = ()
    chosen: str = ""
    units: str = ""
    left_out: LeftOutClasses = None
    reference: str | None = None
    model: str | None = None
    buffer_km: float = 25.0


def summarize_zones(inputs, outputs, staging, progress, settings=None):
    """Summarize a PTI map by zones and stage the outputs.

    ``inputs``: ZoneInputs; ``outputs``: {"table": path of a CSV or None, "layer": path of a polygon layer or None}.
    Returns {"rows": one dict a zone with the whole map first, "fields": (name, type, unit, description) a column}.
    Areas in km², shares in %. Raises InputError, GridError, OutputError, Cancelled.
    """
    if inputs.layer and inputs.classes:
        raise InputError("ZONES and ZONES_RASTER are both given. Give the zones one way.")
    if inputs.model and not inputs.reference:
        raise InputError("MODEL is given without REFERENCE. Its training points matter only where the map is compared; "
                         "give both, or leave MODEL out.")
    check_buffer(inputs.buffer_km)
    info = read_info(inputs.pti)
    reader = SourceReader()
    sources = {"PTI": class_source(info, info.grid, reader)}
    bands = predictor_bands(inputs.predictors, inputs.chosen, progress)
    fields = [*FIELDS, *((f"mean_{band.name}", float, band.unit, f"area-weighted mean of {band.name}")
                         for band in bands), *(AGREEMENT_FIELDS if inputs.reference else ())]
    if outputs.get("layer"):
        if not inputs.layer:
            raise InputError("A layer of zones can be written only where ZONES is given. Give it, or leave OUTPUT "
                             "empty.")
        check_vector_file(outputs["layer"], [field[0] for field in fields])
    for role, path in (("PP", inputs.percent), ("ZONES", inputs.classes), ("REFERENCE", inputs.reference)):
        if path:
            other, item = _percent(path, inputs.units, progress) if role == "PP" else (read_info(path), None)
            require_same((info.name, info.grid), [(other.name, other.grid)], _REMEDY)
            sources[role] = item or class_source(other, info.grid, reader)
    reader.close()
    require_same((info.name, info.grid), [(band.item.name, band.item.grid) for band in bands], _REMEDY)
    if bands:
        sources["PREDICTORS"] = [band.item for band in bands]
    sources["PTI"] = excluding(sources["PTI"], inputs.left_out, progress.part(0, 0.05), settings)
    zones, runs = _located(inputs.layer, info.grid, progress.part(0.05, 0.1)) if inputs.layer else ([], ())
    staging.reserve(outputs.get("table"))
    kernel = ZoneKernel(tuple(runs), tuple(range(len(bands))), info.name,
                        read_info(inputs.classes).name if inputs.classes else "",
                        sources["REFERENCE"].name if inputs.reference else "",
                        TrainingPoints(read_model(inputs.model).training_samples(), inputs.buffer_km)
                        if inputs.model else None)
    tallies = run_blocks(info.grid, sources, kernel, {}, staging, progress.part(0.1, 1), settings,
                         extra_bytes=100 + 32 * len(bands) + (120 if inputs.reference else 0))
    if not tallies:
        raise InputError(f"{info.name} has no ranked cell"
                         + (" outside the classes left out" if inputs.left_out else "")
                         + ". Check that it is a PTI map.")
    figures = _Figures(tallies["cells"], tallies["area"], _by_zone(tallies["sums"]), bands, bool(inputs.percent))
    named = {WHOLE: WHOLE, **dict(enumerate(zone.name for zone in zones))}
    if inputs.classes:
        named.update(_class_names(inputs.classes, {key[0] for key in figures.cells} - {WHOLE}))
    rows = [{**figures.row(key, name), **(figures.agreement(key) if inputs.reference else {})}
            for key, name in named.items()]
    for row, zone in zip(rows[1:], zones):
        row["polygon_km2"] = round(zone.area_km2, 3)
    _tell(rows, zones, runs, figures, progress)
    if inputs.reference:
        _tell_agreement(rows, inputs, kernel.reference_name, progress)
    if outputs.get("table"):
        staging.write_text(outputs["table"], to_csv(rows, [field[0] for field in fields]))
    if outputs.get("layer"):
        # a zone without polygons stands in the table only: not every format keeps features without geometry
        drawn = [(row, zone.outline()) for row, zone in zip(rows[1:], zones) if zone.polygons]
        write_polygons(outputs["layer"], [row for row, _ in drawn], fields, [shape for _, shape in drawn],
                       inputs.layer.wkt, "zones", staging)
    return {"rows": rows, "fields": fields}


_REMEDY = "Align the layers to one grid first, with the tool 'Align rasters'."


def predictor_bands(paths, chosen, progress):
    """Return the Bands to average, by the names of the files and in the order of their bands, or as ``chosen``.

    A band's name is its description; a file of one band that is no predictor by its description gives the file's name.
    Scaled bands of a predictor stack come in their own unit again, and predictors in kelvin in °C, as in the paper's
    Table 5. Classes have no mean and are left out. Raises
    InputError for nameless or doubled bands and for chosen ones that do not exist or are classes.
    """
    bands, classes = {}, []
    for info in sorted(map(read_info, paths), key=lambda info: (info.name, info.path)):
        for band, text in enumerate(info.descriptions, start=1):
            tags = info.band_metadata[band - 1]
            name = text.strip()
            if info.bands == 1 and KIND_TAG not in tags and name not in PREDICTORS:
                name = os.path.splitext(info.name)[0]
            if not name:
                raise InputError(f"Band {band} of {info.name} has no name. Name every band by its description.")
            if name in bands or name in classes:
                raise InputError(f"Two bands of the predictors have the name {name}. Leave one of them out.")
            known = PREDICTORS.get(name)
            if tags.get(KIND_TAG, "categorical" if known and known.categorical else "") == "categorical":
                classes.append(name)
            else:
                bands[name] = _in_own_unit(name, info, band, tags, progress)
    wanted = [name.strip() for name in chosen.split(",") if name.strip()]
    for name in wanted:
        if name in classes:
            raise InputError(f"BANDS names {name}, but that is a layer of classes, which has no mean. Leave it out.")
        if name not in bands:
            raise InputError(f"BANDS names {name}, but the predictors have the bands {', '.join(bands) or 'none'}.")
    if len(set(wanted)) < len(wanted):
        raise InputError(f"BANDS is '{chosen}'; it names a band twice.")
    if classes and not wanted:
        progress.info(f"{', '.join(classes)}: classes, which have no mean; left out.")
    return [bands[name] for name in wanted or bands]


def _in_own_unit(name, info, band, tags, progress):
    item = source(info.path, NUMBER, band, info=info)
    unit = unit_named(tags.get(RAW_UNIT_TAG) or info.units[band - 1])
    if MIN_TAG not in tags or MAX_TAG not in tags:
        return _in_celsius(Band(name, unit, item), progress)
    try:
        low, high = float(tags[MIN_TAG]), float(tags[MAX_TAG])
    except ValueError:
        raise InputError(f"The scaling range of {name} in {info.name} is no pair of numbers ({tags[MIN_TAG]}, "
                         f"{tags[MAX_TAG]}). Write the stack again.") from None
    progress.info(f"{name}: scaled 0–100 in {info.name}; its means are in its own unit again ({low:.6g} to "
                  f"{high:.6g}{unit and ' '}{unit}).")
    return _in_celsius(Band(name, unit, replace(item, scale=(high - low) / 100.0, offset=low)), progress)


def _in_celsius(band, progress):
    """Return the Band of a predictor of the paper in °C where it is in kelvin; a change per time keeps its numbers."""
    if band.name not in PREDICTORS or not re.fullmatch(r"K(/.*| .*)?", band.unit):
        return band
    progress.info(f"{band.name}: its means are in {band.unit.replace('K', 'degC', 1)}, in the layer it is in "
                  f"{band.unit}.")
    shift = ZERO_CELSIUS if band.unit == "K" else 0.0
    return Band(band.name, band.unit.replace("K", "degC", 1), replace(band.item, offset=band.item.offset - shift))


def zone_sentence(row):
    """Return what the log says of the row of a zone with ranked cells."""
    second = f", {row['second_rank']} ({row['second_percent']:.1f} %)" if row["second_rank"] else ""
    first = f"rank {row['first_rank']} ({row['first_percent']:.1f} %)"
    return f"{row['zone']}: {row['area_km2']:,.0f} km²; {first}{second}."


def _percent(path, units, progress):
    reading = Reading(units=units)
    refuse_wrong_names(reading, [path])
    return layer_in_role(path, "pp", QUANTITIES["pp"], reading, progress)[:2]


def _located(layer, grid, progress):
    """Return the Zones of a layer and the Runs of their cells on the grid."""
    zones, finder, runs = read_zones(layer, progress.part(0, 0.5)), ZoneCells(layer.wkt, grid), []
    if any(zone.name == WHOLE for zone in zones):
        raise InputError(f"A zone of {layer.name} is called '{WHOLE}', as the first row of the table is. Rename it.")
    for zone in zones:
        progress.check()
        runs.append(finder.runs(zone))
        progress.set(0.5 + 0.5 * len(runs) / len(zones))
    return zones, runs


def _class_names(path, codes):
    """Return {code: name} in the order of the codes, with the raster's own category where it names one."""
    dataset = open_raster(path)
    # GDAL looks at the file beside a GeoTIFF only once it is asked for metadata
    dataset.GetMetadata()
    categories = dataset.GetRasterBand(1).GetCategoryNames() or []
    named = {code: str(code) for code in codes}
    for code in codes:
        if 0 <= code < len(categories) and categories[code]:
            named[code] = f"{code} {categories[code]}"
    return dict(sorted(named.items(), key=lambda pair: name_order(str(pair[0]))))


@dataclass(frozen=True)
class _Figures:
    """The tallies of a run, as rows of the table."""

    cells: Counter
    area: Counter
    sums: dict
    bands: list
    percent: bool

    def ranked(self, zone):
        """Return the ranked area of a zone, in units of cell_areas."""
        return sum(self.area[zone, place] for place in range(len(ranks.CODES)))

    def row(self, zone, name):
        """Return the row of a zone; shares and means are None where it has no ranked cell."""
        areas = {rank.code: self.area[zone, ranks.ORDER[rank.code]] for rank in ranks.RANKS}
        ranked = sum(areas.values())

        def share(amount):
            return round(100 * amount / ranked, 3) if ranked else None

        order = sorted((code for code in areas if areas[code]), key=lambda code: (-areas[code], code))
        first, second = (*order, None, None)[:2]
        row = {"zone": name, "area_km2": _km2(ranked),
               "pp_area_km2": _km2(self.area[zone, "weighted"]) if self.percent else None,
               "cells": sum(self.cells[zone, place] for place in range(len(ranks.CODES))),
               "first_rank": first, "first_percent": share(areas[first]) if first else None}
        named = second is not None and 100 * areas[first] < HALF * ranked
        row["second_rank"], row["second_percent"] = (second, share(areas[second])) if named else (None, None)
        for tier in ranks.TIERS:
            row[f"{tier}_percent"] = share(sum(areas[rank.code] for rank in ranks.RANKS if rank.tier == tier))
        row.update({f"area_{code}_km2": _km2(amount) for code, amount in areas.items()})
        row["polygon_km2"] = None
        for place, band in enumerate(self.bands):
            valid = self.area[zone, "band", place]
            mean = float(total(self.sums.get((zone, place), {})) / valid) if valid else None
            # a mean of 0 leaves the rounding of the offset behind
            row[f"mean_{band.name}"] = 0.0 if mean is not None and abs(mean) < 1e-12 * abs(band.item.offset) else mean
        return row

    def agreement(self, zone):
        """Return the columns of AGREEMENT_FIELDS of a zone; shares are None where no cell is compared."""
        compared = self.area[zone, "compared"]
        same, near = (round(100 * self.area[zone, kind] / compared, 3) if compared else None
                      for kind in ("same", "near"))
        return dict(zip((name for name, *_ in AGREEMENT_FIELDS),
                        (self.cells[zone, "compared"], _km2(compared), same, near)))


def _by_zone(sums):
    """Return {(zone, place of the band): {part: value}} of a Counter by (zone, place of the band, part)."""
    found = {}
    for (zone, band, part), value in sums.items():
        found.setdefault((zone, band), {})[part] = value
    return found


def _km2(area):
    return round(area / AREA_UNITS_PER_KM2, 3)


def _tell(rows, zones, runs, figures, progress):
    """Say what the figures leave out."""
    whole = figures.ranked(WHOLE)
    if figures.percent and figures.area[WHOLE, "PP"] < whole:
        progress.warn(f"PP is missing on {100 - 100 * figures.area[WHOLE, 'PP'] / whole:.3g} % of the ranked area; "
                      f"there the PP-weighted area counts it as 0.")
    for place, band in enumerate(figures.bands):
        valid = figures.area[WHOLE, "band", place]
        if valid < whole:
            without = [row["zone"] for row in rows if row["cells"] and row[f"mean_{band.name}"] is None]
            progress.warn(f"{band.name} has data on {100 * valid / whole:.4g} % of the ranked area; its means are "
                          f"those of that part." + (f" None in {listed(without)}." if without else ""))
    if len(rows) == 1:
        return
    outside, several = figures.area["in no zone"], figures.area["in several zones"]
    progress.info(f"{len(rows) - 1} zones hold {100 - 100 * outside / whole:.2f} % of the ranked area; "
                  f"{_km2(outside):,.0f} km² lie in none.")
    if several:
        progress.warn(f"Zones overlap on {_km2(several):,.3g} km² of the ranked area. Each zone is counted whole, so "
                      f"they add up to more than what they cover.")
    without = [(zone.name, run.cells) for zone, run in zip(zones, runs)]
    small = [name for name, cells in without if not cells]
    if small:
        progress.warn(f"{len(small)} zones hold no centre of a cell of the map, being off it or smaller than its "
                      f"cells: {listed(small)}. Their area is 0.")
    empty = [row["zone"] for row, (_, cells) in zip(rows[1:], without) if cells and not row["cells"]]
    if empty:
        progress.warn(f"{len(empty)} zones lie on the map but hold no ranked cell: {listed(empty)}. Their area is 0.")


def _tell_agreement(rows, inputs, name, progress):
    """Say how far the map agrees with the reference, and on which cells."""
    whole, *others = rows
    where = f"{inputs.buffer_km:g} km or more from all training points" if inputs.model else "near training points too"
    if not whole["compared_cells"]:
        raise InputError(f"No cell has a rank in the map and in {name}"
                         + (f" and lies {inputs.buffer_km:g} km or more from all training points. Lower BUFFER_KM, or "
                            f"leave REFERENCE out." if inputs.model else ". Check that it is the index of the map."))
    told = sorted((row["agreement_percent"], row["zone"]) for row in others if row["compared_cells"])
    spread = (f"; by zone from {told[0][0]:.1f} % ({told[0][1]}) to {told[-1][0]:.1f} % ({told[-1][1]})"
              if len(told) > 1 else "")
    progress.info(f"The map has the rank of {name} on {whole['agreement_percent']:.1f} % of "
                  f"{whole['compared_km2']:,.0f} km² compared ({where}){spread}.")
    without = [row["zone"] for row in others if row["cells"] and not row["compared_cells"]]
    if without:
        progress.warn(f"{len(without)} zones hold no cell that can be compared with {name}: {listed(without)}.")
