"""Figures for maps and reports as PNG bytes: the PTI map, stations, areas, accuracy, what a model looks at.

Every figure is drawn on a canvas of its own, never through pyplot, so that a figure drawn in a background thread
leaves the plotting state of QGIS and of other plugins alone. The same input gives the same bytes.
"""

import io
import math
import textwrap
from contextlib import contextmanager

import numpy as np

from ..common.cancellation import check_stopped
from ..common.errors import InputError
from ..common.escapes import for_figure
from ..common.packages import require
from ..common.ranks import BY_CODE, CODES, ORDER, RANKS
from ..ensembles.features import GROUP_COLOURS
from ..mapping.applicability import APPLICABILITY
from ..rasters.raster import NO_CLASS
from .polar_map import classes_within, land_within, polar_frame, polar_wkt, rank_source, ranks_within

#: most cells a side that a map reads; more than a printed page can show
MAP_CELLS = 1500

INK, MUTED, LINE = "#22282e", "#5b6670", "#8d99a3"
SEA, LAND, COAST = "#eef3f7", "#e3e3e3", "#77828b"
FONT = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "text.usetex": False, "font.size": 10,
        "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
SMALL_SPACE = "\u202f"
#: marks of curves and intervals; blue and orange stay apart under colour-vision deficiencies (after Okabe and Ito)
BLUE, ORANGE, BAND, SET_BACK = "#0072b2", "#d55e00", "#cfe3f1", "#8d99a3"
IN_SAMPLE_MARK = "in-sample, not an accuracy"


def pti_map(source, title, subtitle="", background=None, stations=None, note="", width_px=2000,
            limits=(-3.0, -1.5, 3.0), isolated=10.0):
    """Draw the PTI map in polar projection with a legend in two tiers; return PNG bytes.

    ``source`` is a raster of PTI codes (0 or nodata: no rank) in any CRS, or its Source; ``background`` a raster whose
    nodata is sea and whose values are land, such as the base map; ``stations`` an iterable of mappings with ``lon``,
    ``lat`` (degrees, WGS 84) and perhaps ``rank``; ``limits`` the MAGT limits of the tiers in °C and ``isolated`` the
    PP limit of rank 40 in %, both for the legend.
    Raises InputError where a raster cannot be read or ``source`` holds other codes than PTI ranks, or none at all.
    """
    item = rank_source(source)
    frame = polar_frame(item, polar_wkt(item))
    codes = ranks_within(item, frame.wkt, frame.bounds, (MAP_CELLS, MAP_CELLS))
    land = None if background is None else land_within(background, frame.wkt, frame.bounds, codes)

    with _figure(8.0, 10.7, width_px) as (figure, png):
        figure.text(0.035, 0.98, for_figure(title), fontsize=16, fontweight="bold", va="top")
        if subtitle:
            figure.text(0.035, 0.949, for_figure(subtitle), fontsize=10.5, color=MUTED, va="top")
        axes = figure.add_axes((0.02, 0.205, 0.96, 0.96 * 8.0 / 10.7))
        _draw_cells(axes, frame, codes, {rank.code: rank.colour for rank in RANKS}, land)
        _draw_graticule(axes, frame)
        drawn = _draw_stations(axes, frame, stations or ())
        _draw_scale_bar(axes, frame)
        legend = figure.add_axes((0.035, 0.034, 0.93, 0.171))
        _draw_map_legend(legend, limits, isolated, land is not None, drawn)
        footer = "\n".join(part for part in (note, f"Projection: {frame.projection_name}") if part)
        figure.text(0.035, 0.006, for_figure(footer), fontsize=8, color=MUTED, va="bottom", linespacing=1.4)
        return png()


def applicability_map(path, ranked, background=None, width_px=1200):
    """Draw where a map lies inside and outside the area of applicability, in its polar projection; return PNG bytes.

    ``path``: a raster of the codes of the prediction tool, or its Source; ``ranked``: the map of PTI ranks, whose
    frame is taken, or its Source; ``background``: as for ``pti_map``. Raises InputError where a raster cannot be read,
    holds other codes, or nothing within the frame.
    """
    item = rank_source(ranked)
    frame = polar_frame(item, polar_wkt(item))
    codes = classes_within(path, frame, (MAP_CELLS, MAP_CELLS), APPLICABILITY, "the area of applicability")
    known = codes != NO_CLASS
    land = None if background is None else land_within(background, frame.wkt, frame.bounds, known)
    with _figure(6.0, 6.6, width_px) as (figure, png):
        axes = figure.add_axes((0.03, 0.112, 0.94, 0.94 * 6.0 / 6.6))
        _draw_cells(axes, frame, codes, {code: colour for code, (_, colour) in APPLICABILITY.items()}, land)
        _draw_graticule(axes, frame)
        # the shorter bar of the large map has no room for its numbers here
        _draw_scale_bar(axes, frame, 2000)
        shown = [(colour, name) for name, colour in APPLICABILITY.values()]
        shown += [] if land is None else [(LAND, "land that is not mapped"), (SEA, "sea, or no data")]
        patch = require("matplotlib.patches", "drawing figures").Patch
        figure.legend(handles=[patch(facecolor=colour, edgecolor=INK, linewidth=0.6, label=name)
                               for colour, name in shown], loc="lower center", bbox_to_anchor=(0.5, 0.035), ncol=2,
                      frameon=False, fontsize=9.5)
        figure.text(0.5, 0.012, f"Projection: {frame.projection_name}", fontsize=7.5, color=MUTED, ha="center",
                    va="bottom")
        return png()


def station_scatter(station_ranks, map_ranks, title):
    """Draw rank on the map against rank measured at the station, both in order of vulnerability; return PNG bytes.

    The two sequences hold PTI codes, one a station. Pairs in which either has no rank (None or 0) are left out and
    counted in the caption line. Several stations in one place of the plot are laid side by side.
    """
    station_ranks, map_ranks = list(station_ranks), list(map_ranks)
    if len(station_ranks) != len(map_ranks):
        raise InputError(f"There are {len(station_ranks)} station ranks but {len(map_ranks)} map ranks; give one of "
                         f"each for every station.")
    pairs = [(_code(a), _code(b)) for a, b in zip(station_ranks, map_ranks) if a and b]
    places = [(ORDER[a], ORDER[b]) for a, b in pairs]
    counts = {place: places.count(place) for place in sorted(set(places))}
    exact = sum(x == y for x, y in places)
    near = sum(abs(x - y) <= 1 for x, y in places)
    line = f"{len(places)} stations: {exact} on the 1:1 line, {near} within one rank"
    if len(places) < len(station_ranks):
        line += f"; {len(station_ranks) - len(places)} without a rank left out"

    last = len(CODES) - 1
    with _figure(7.0, 7.2, 1400) as (figure, png):
        axes = figure.add_axes((0.115, 0.1, 0.855, 0.79))
        figure.text(0.03, 0.975, for_figure(title), fontsize=13, fontweight="bold", va="top")
        figure.text(0.03, 0.935, line, fontsize=10, color=MUTED, va="top")
        ends = np.array((-0.5, last + 0.5))
        axes.fill_between(ends, ends - 1.5, ends + 1.5, color="#edf1f4", linewidth=0, zorder=0)
        axes.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
        axes.text(last + 0.42, last + 0.12, "1:1", fontsize=9, color=MUTED, ha="right", va="top")
        for (x, y), count in counts.items():
            offsets = _side_by_side(count)
            axes.scatter(x + offsets[:, 0], y + offsets[:, 1], s=52, c=BY_CODE[CODES[x]].colour, edgecolors=INK,
                         linewidths=0.7, zorder=3)
            if count > 1:
                axes.annotate(str(count), (x, y), xytext=(-13, 11), textcoords="offset points", fontsize=8.5,
                              color=INK, ha="center", va="center", zorder=4)
        _rank_axis(axes.xaxis)
        _rank_axis(axes.yaxis)
        axes.set(xlim=ends, ylim=ends, xlabel="Rank measured at the station", ylabel="Rank on the map")
        axes.set_aspect("equal")
        for edge in (2.5, 5.5, 8.5):
            axes.axvline(edge, color="#d5dbe0", linewidth=0.8, zorder=0.5)
            axes.axhline(edge, color="#d5dbe0", linewidth=0.8, zorder=0.5)
        _open_frame(axes)
        return png()


def magt_scatter(station_magt, map_magt, title, limits=(-3.0, -1.5, 3.0)):
    """Draw mean ground temperature of the map against that of the stations (°C) with the 1:1 line; return PNG bytes.

    The two sequences hold a value a station; stations for which either is None are left out. Dots have the colour of
    the station's tier by ``limits`` (cold below, cool up to, warm up to), which the thin lines mark on both axes.
    """
    station_magt, map_magt = list(station_magt), list(map_magt)
    if len(station_magt) != len(map_magt):
        raise InputError(f"There are {len(station_magt)} station temperatures but {len(map_magt)} of the map; give one "
                         f"of each for every station.")
    pairs = np.array([(x, y) for x, y in zip(station_magt, map_magt) if x is not None and y is not None],
                     dtype=float).reshape(-1, 2)
    line = f"{len(pairs)} stations"
    low, high = (math.floor(pairs.min() - 0.4), math.ceil(pairs.max() + 0.4)) if len(pairs) else (-10, 3)
    if len(pairs):
        misses = pairs[:, 1] - pairs[:, 0]
        line += (f": bias {misses.mean():+.2f} °C (map less station), RMSE {np.sqrt((misses ** 2).mean()):.2f} °C"
                 .replace("-", "\u2212"))
    tiers = np.where(pairs[:, 0] < limits[0], 0, np.where(pairs[:, 0] <= limits[1], 1, 2))
    tiers[pairs[:, 0] > limits[2]] = 3
    with _figure(7.0, 7.2, 1400) as (figure, png):
        axes = figure.add_axes((0.115, 0.1, 0.855, 0.79))
        figure.text(0.03, 0.975, for_figure(title), fontsize=13, fontweight="bold", va="top")
        figure.text(0.03, 0.935, line, fontsize=10, color=MUTED, va="top")
        for limit in limits:
            if low < limit < high:
                axes.axvline(limit, color="#d5dbe0", linewidth=0.8, zorder=0.5)
                axes.axhline(limit, color="#d5dbe0", linewidth=0.8, zorder=0.5)
        axes.plot((low, high), (low, high), color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate("1:1", (low, low), xytext=(30, 14), textcoords="offset points", fontsize=9, color=MUTED)
        for tier, (colour, name) in enumerate(((BY_CODE[12].colour, "cold"), (BY_CODE[22].colour, "cool"),
                                               (BY_CODE[32].colour, "warm"), ("#ffffff", "above the upper limit"))):
            here = tiers == tier
            if here.any():
                axes.scatter(pairs[here, 0], pairs[here, 1], s=46, c=colour, edgecolors=INK, linewidths=0.7, zorder=3,
                             label=f"{name} ({here.sum()})")
        if len(pairs):
            axes.legend(title="Tier of the station", loc="upper left", framealpha=1, edgecolor="#ffffff", fontsize=9.5)
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="MAGT measured at the station (°C)",
                 ylabel="MAGT of the map (°C)")
        axes.set_aspect("equal")
        _open_frame(axes)
        return png()


def area_bars(rows):
    """Draw the area of each rank as a bar; ``rows`` are mappings with rank, label, area_km2, share_percent."""
    rows = list(rows)
    with _figure(7.5, 0.75 + 0.42 * max(len(rows), 1), 1500) as (figure, png):
        height = figure.get_figheight()
        axes = figure.add_axes((0.36, 0.62 / height, 0.5, 1 - 0.72 / height))
        areas = np.array([float(row["area_km2"]) for row in rows]) / 1e6
        axes.barh(range(len(rows)), areas, color=[BY_CODE[_code(row["rank"])].colour for row in rows],
                  edgecolor=INK, linewidth=0.5, height=0.72)
        for place, (row, area) in enumerate(zip(rows, areas)):
            share = float(row["share_percent"])
            axes.annotate(f"{share:.1f}{SMALL_SPACE}%", (area, place), xytext=(5, 0), textcoords="offset points",
                          va="center", fontsize=9.5)
        axes.set_yticks(range(len(rows)), [for_figure(row["label"]) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, max(areas.max() if len(rows) else 0, 1e-9) * 1.12)
        axes.set_xlabel("Area (million km²)")
        axes.xaxis.grid(True, color="#e3e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        _open_frame(axes)
        return png()


def area_estimates_plot(rows, unit, names=("mapped", "by the reference")):
    """Draw the mapped area of each class as a bar and its estimate as a dot with its interval; return PNG bytes.

    ``rows``: mappings label, mapped (or None), area, low and high (or None), all in ``unit``; ``names``: of bars, dots.
    """
    labels = [for_figure(textwrap.fill(str(row["label"]), 30)) for row in rows]
    with _figure(7.5, 1.05 + 0.46 * max(len(rows), 1), 1500) as (figure, png):
        height = figure.get_figheight()
        axes = figure.add_axes((0.3, 0.62 / height, 0.64, 1 - 1.02 / height))
        mapped = axes.barh(range(len(rows)), [row["mapped"] or 0 for row in rows], color=BAND, edgecolor=LINE,
                           linewidth=0.5, height=0.66)
        for place, row in enumerate(rows):
            if _interval(row) is not None:
                axes.plot(_interval(row), (place, place), color=BLUE, linewidth=1.8, marker="|", markersize=11)
        dots = axes.scatter([row["area"] for row in rows], range(len(rows)), s=34, color=BLUE, zorder=4)
        axes.set_yticks(range(len(rows)), labels, linespacing=1.1)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, None), ylim=(len(rows) - 0.4, -0.6))
        axes.xaxis.set_major_locator(require("matplotlib.ticker", "drawing figures").MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xlabel(for_figure(f"Area ({unit})"))
        axes.xaxis.grid(True, color="#e3e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        dotted = any(_interval(row) is not None for row in rows)
        axes.legend([mapped, dots], [names[0], f"{names[1]}{', with its 95 % interval' if dotted else ''}"],
                    loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False, fontsize=9)
        _open_frame(axes)
        return png()


def confusion_matrix(matrix, labels):
    """Draw a confusion matrix with its counts; rows are classified, columns are reference; return PNG bytes.

    The shade of a cell is its share of the reference column, so that the diagonal shows recall.
    """
    matrix = np.asarray(matrix, dtype=float)
    size = len(labels)
    if matrix.shape != (size, size):
        raise InputError(f"The confusion matrix has shape {matrix.shape}, but there are {size} labels; it must be "
                         f"square with a row and a column for every label.")
    totals = matrix.sum(axis=0, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    colours = require("matplotlib.colors", "drawing figures").LinearSegmentedColormap.from_list(
        "shares", ("#ffffff", "#9dbbdc", "#4f7fbb", "#08397c"))
    side = max(3.6, 0.56 * size)
    with _figure(side + 1.15, side + 0.85, 1500) as (figure, png):
        width, height = figure.get_size_inches()
        axes = figure.add_axes((0.95 / width, 0.1 / height, side / width, side / height))
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        for row in range(size):
            for column in range(size):
                count = matrix[row, column]
                text = f"{count:,.0f}" if count == round(count) else f"{count:,.2f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=9,
                          fontweight="bold" if row == column else "normal",
                          color="#ffffff" if shares[row, column] > 0.45 else INK if count else "#9aa4ac")
        labels = [for_figure(label) for label in labels]
        axes.set_xticks(range(size), labels)
        axes.set_yticks(range(size), labels)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("Reference (shade: share of the column)", labelpad=8)
        axes.set_ylabel("Classified", labelpad=8)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#d5dbe0", linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        return png()


def shap_bars(names, groups, values, gains=None):
    """Draw predictor importance, largest first, coloured by predictor group; return PNG bytes.

    ``values`` are mean |SHAP| and ``gains`` the model's gain, in any unit; both are shown as shares of their sum (%).
    """
    names, groups = list(names), list(groups)
    shares = _shares(values, names)
    gain_shares = None if gains is None else _shares(gains, names)
    if len(groups) != len(names):
        raise InputError(f"There are {len(names)} predictors but {len(groups)} groups; give one for each.")
    order = np.argsort(-shares, kind="stable")
    with _figure(7.5, 0.95 + 0.36 * len(names), 1500) as (figure, png):
        height = figure.get_figheight()
        # a letter takes 0.078 inches
        left = min(max(0.2, (0.3 + 0.078 * max(map(len, names))) / 7.5), 0.6)
        axes = figure.add_axes((left, 0.6 / height, 0.96 - left, 1 - 0.7 / height))
        places = np.arange(len(names))
        axes.barh(places, shares[order], height=0.68,
                  color=[GROUP_COLOURS.get(groups[i].lower(), "#b5bcc2") for i in order])
        handles = _legend_handles([group for group in dict.fromkeys(groups[i] for i in order)])
        if gain_shares is not None:
            points = axes.plot(gain_shares[order], places, linestyle="none", marker="D", markersize=6,
                               markerfacecolor="#ffffff", markeredgecolor=INK, markeredgewidth=1, label="gain")
            handles += points
        axes.set_yticks(places, [for_figure(names[i]) for i in order])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("Share of the total (%): bars mean |SHAP|" + ("" if gains is None else ", diamonds gain"))
        axes.xaxis.grid(True, color="#e3e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(handles=handles, loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
        _open_frame(axes)
        return png()


def rfecv_curve(rows, paper=None):
    """Draw accuracy against number of predictors from recursive feature elimination; return PNG bytes.

    ``rows``: mappings features, mean_accuracy, sd_accuracy (over folds; both in %) and chosen (1 for the number that
    is kept); ``paper``: a mapping features, mean_accuracy to mark beside them, or None.
    Raises InputError where there is no row, or not exactly one chosen.
    """
    rows = sorted(rows, key=lambda row: row["features"])
    chosen = [row for row in rows if row["chosen"]]
    if len(chosen) != 1:
        raise InputError(f"{len(chosen)} of the {len(rows)} rows of the feature elimination are marked as chosen; one "
                         f"must be.")
    chosen = chosen[0]
    counts, means, spreads = (np.array([row[key] or 0 for row in rows], dtype=float)
                              for key in ("features", "mean_accuracy", "sd_accuracy"))
    with _figure(7.5, 4.6, 1500) as (figure, png):
        axes = figure.add_axes((0.105, 0.125, 0.865, 0.845))
        axes.fill_between(counts, means - spreads, means + spreads, color=BAND, linewidth=0, zorder=1,
                          label="± standard deviation of the folds")
        axes.plot(counts, means, color=BLUE, linewidth=1.6, marker="o", markersize=5, zorder=3,
                  label="mean of the folds")
        axes.plot([chosen["features"]], [chosen["mean_accuracy"]], linestyle="none", marker="o", markersize=12,
                  markerfacecolor="none", markeredgecolor=ORANGE, markeredgewidth=2.2, zorder=4,
                  label=f"chosen: {chosen['features']:g} predictors, {chosen['mean_accuracy']:.1f}{SMALL_SPACE}%")
        lowest, highest = (means - spreads).min(), (means + spreads).max()
        if paper is not None:
            axes.plot([paper["features"]], [paper["mean_accuracy"]], linestyle="none", marker="D", markersize=8,
                      markerfacecolor="#ffffff", markeredgecolor=INK, markeredgewidth=1.4, zorder=5,
                      label=f"the paper: {paper['features']:g} predictors, "
                            f"{paper['mean_accuracy']:g}{SMALL_SPACE}%")
            lowest, highest = min(lowest, paper["mean_accuracy"]), max(highest, paper["mean_accuracy"])
        _percent_axis(axes.yaxis)
        room = max(highest - lowest, 2.0)
        axes.set_ylim(max(0.0, lowest - 0.1 * room), min(100.0 + 0.02 * room, highest + 0.1 * room))
        axes.set_xlim(min(counts.min(), 1) - 0.5, counts.max() + 0.5)
        axes.xaxis.set_major_locator(require("matplotlib.ticker", "drawing figures").MaxNLocator(17, integer=True))
        axes.set(xlabel="Number of predictors", ylabel="Cross-validated accuracy (%)")
        axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
        _open_frame(axes)
        return png()


def calibration_plot(rows, before=()):
    """Draw how often a class is right against how probable the model holds it, with the numbers of points below.

    ``rows``: mappings expected (mean probability of the voted class), value (share of points that are right), low,
    high (its interval or None), all in %, and n; ``before``: the same of the probabilities before they were calibrated,
    drawn as a second curve. Returns PNG bytes. Raises InputError where there is no row.
    """
    rows, before = (sorted(some, key=lambda row: row["expected"]) for some in (rows, before))
    if not rows:
        raise InputError("There are no rows of the calibration to draw.")
    expected, right, numbers = (np.array([row[key] for row in rows], dtype=float)
                                for key in ("expected", "value", "n"))
    with _figure(5.6, 6.2, 1120) as (figure, png):
        axes = figure.add_axes((0.125, 0.30, 0.845, 0.845 * 5.6 / 6.2 * 0.9))
        below = figure.add_axes((0.125, 0.085, 0.845, 0.15), sharex=axes)
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
        axes.text(97, 3, "on the dashed line: as often right as promised\nbelow it: too sure of itself", fontsize=9,
                  color=MUTED, va="bottom", ha="right", linespacing=1.4)
        for row in rows:
            if _interval(row) is not None:
                axes.plot((row["expected"],) * 2, _interval(row), color=BLUE, linewidth=1.8, marker="_", markersize=8,
                          zorder=3)
        if before:
            curve = [[row[key] for row in before] for key in ("expected", "value")]
            axes.plot(*curve, color=ORANGE, linewidth=1.2, linestyle=(0, (2, 2)), marker="D", markersize=5,
                      markerfacecolor="#ffffff", zorder=2.5, label="before")
        axes.plot(expected, right, color=BLUE, linewidth=1.0, alpha=0.55, zorder=2)
        axes.scatter(expected, right, s=42, color=BLUE, zorder=4, label="after calibration")
        if before:
            axes.legend(loc="upper left", frameon=False, fontsize=9)
        axes.set(xlim=(0, 100), ylim=(0, 100), ylabel="Share of points that are right (%)")
        axes.tick_params(labelbottom=False)
        for axis in (axes.xaxis, axes.yaxis):
            _percent_axis(axis)
        # a bar in its bin of ten, so that neighbours never touch
        bins = np.minimum(expected // 10, 9) * 10 + 5
        below.bar(bins, numbers, width=9, color=BAND, edgecolor=BLUE, linewidth=0.7)
        for place, number in zip(bins, numbers):
            below.annotate(f"{number:,.0f}", (place, number), xytext=(0, 2), textcoords="offset points", fontsize=7.5,
                           color=INK, ha="center", va="bottom")
        below.set_ylim(0, numbers.max() * 1.3)
        below.set_yticks([])
        below.set_ylabel("Points", labelpad=14)
        below.set_xlabel("Mean probability of the class voted for (%)")
        for each in (axes, below):
            _open_frame(each)
        return png()


def accuracy_panel_plot(rows):
    """Draw the lines of the accuracy panel with their intervals, the in-sample vote set back; return PNG bytes.

    ``rows``: mappings line, value, low, high (in %; low and high may be None) and n; rows without a value are left out.
    Raises InputError where none has one.
    """
    rows = [row for row in rows if row.get("value") is not None]
    if not rows:
        raise InputError("No line of the accuracy panel has a value to draw.")
    labels = [for_figure(textwrap.fill(str(row["line"]).split(IN_SAMPLE_MARK)[0].strip(" ("), 34)) for row in rows]
    heights = [1.0 + 0.4 * label.count("\n") for label in labels]
    places = np.cumsum(heights) - np.array(heights) / 2
    ends = [value for row in rows for value in (row["value"], row.get("low"), row.get("high")) if value is not None]
    low, high = max(0, 10 * math.floor((min(ends) - 3) / 10)), min(100, 10 * math.ceil((max(ends) + 1) / 10))
    with _figure(7.5, 0.75 + 0.44 * sum(heights), 1500) as (figure, png):
        height = figure.get_figheight()
        axes = figure.add_axes((0.345, 0.6 / height, 0.52, 1 - 0.7 / height))
        for row, place in zip(rows, places):
            aside, interval = is_in_sample(row), _interval(row)
            colour = SET_BACK if aside else BLUE
            if interval is not None:
                axes.plot(interval, (place, place), color=colour, linewidth=1.8, marker="|", markersize=11, zorder=3)
            axes.scatter([row["value"]], [place], s=34, zorder=4, color="#ffffff" if aside else colour,
                         edgecolors=colour, linewidths=1.5)
            axes.annotate(f"{row['value']:.1f}{SMALL_SPACE}%", (1, place), xycoords=("axes fraction", "data"),
                          xytext=(10, 0 if interval is None else 6), textcoords="offset points", va="center",
                          fontsize=10, color=MUTED if aside else INK, fontweight="normal" if aside else "bold")
            if interval is not None:
                axes.annotate(f"{interval[0]:.1f} to {interval[1]:.1f}", (1, place), xytext=(10, -7), va="center",
                              xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8, color=MUTED)
            if aside:
                left = row["value"] > (low + high) / 2
                axes.annotate(IN_SAMPLE_MARK, (row["value"], place), xytext=(-9 if left else 9, 0), va="center",
                              textcoords="offset points", ha="right" if left else "left", fontsize=9, style="italic",
                              color=MUTED)
        axes.set_yticks(places, labels, linespacing=1.15)
        for text, row in zip(axes.get_yticklabels(), rows):
            text.set_color(MUTED if is_in_sample(row) else INK)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(low, high), ylim=(sum(heights), 0))
        _percent_axis(axes.xaxis)
        axes.set_xlabel("Share that is right (%) with its 95\u202f% interval")
        _open_frame(axes)
        axes.spines["left"].set_visible(False)
        return png()


def is_in_sample(row):
    """Return whether a row of the accuracy panel is the vote on points that trained the models."""
    return "in-sample" in f"{row.get('line', '')} {row.get('meaning', '')}".lower()


# ---- the map's parts ------------------------------------------------------------------------------------------------

def _draw_cells(axes, frame, codes, colour_of, land):
    """Draw the cells of a frame in the colours ``colour_of`` {code: '#rrggbb'} of their codes, on land and sea."""
    colours = np.empty(codes.shape + (3,), dtype=np.uint8)
    colours[:] = _rgb("#ffffff" if land is None else SEA)
    if land is not None:
        colours[land] = _rgb(LAND)
    for code, colour in colour_of.items():
        colours[codes == code] = _rgb(colour)
    extent = (-frame.radius, frame.radius, -frame.radius, frame.radius)
    circle = require("matplotlib.patches", "drawing figures").Circle
    edge = axes.add_patch(circle((0, 0), frame.radius, facecolor="none", edgecolor=MUTED, linewidth=1.0, zorder=6))
    image = axes.imshow(colours, extent=extent, interpolation="nearest", origin="upper", zorder=1)
    image.set_clip_path(edge)
    if land is not None and land.any() and not land.all():
        centres = (np.arange(codes.shape[0]) + 0.5) * 2 * frame.radius / codes.shape[0] - frame.radius
        coast = axes.contour(centres, -centres, land.astype(np.uint8), levels=[0.5], colors=COAST, linewidths=0.45,
                             zorder=2)
        for lines in coast.collections if hasattr(coast, "collections") else [coast]:
            lines.set_clip_path(edge)
    margin = frame.radius * 1.1
    axes.set(xlim=(-margin, margin), ylim=(-margin, margin))
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_graticule(axes, frame):
    halo = require("matplotlib.patheffects", "drawing figures").withStroke(linewidth=2.6, foreground="#ffffffd0")
    style = {"color": "#4c5963", "linewidth": 0.5, "alpha": 0.45, "zorder": 3}
    turn = np.arange(-180.0, 180.5, 1.0)
    for latitude in range(frame.south - frame.south % 10 + 10, 90, 10):
        x, y = frame.project(turn, np.full(turn.shape, float(latitude)))
        axes.plot(x - frame.x, y - frame.y, **style)
        # 10° W runs through the Atlantic and the Greenland Sea, where the label hides no rank
        x, y = frame.project(-10.0, float(latitude))
        axes.text(x[0] - frame.x, y[0] - frame.y, f"{latitude}° N", fontsize=8, color=INK, ha="center", va="center",
                  path_effects=[halo], zorder=5)
    for longitude in range(-180, 180, 30):
        x, y = frame.project(np.full(2, float(longitude)), np.array((frame.south, 85.0)))
        x, y = x - frame.x, y - frame.y
        axes.plot(x, y, **style)
        axes.text(x[0] * 1.018, y[0] * 1.018, _longitude_label(longitude), fontsize=8.5, color=MUTED,
                  ha=_anchor(x[0] / frame.radius, "right", "center", "left"),
                  va=_anchor(y[0] / frame.radius, "top", "center", "bottom"), zorder=5)


def _longitude_label(longitude):
    if longitude in (0, -180):
        return f"{abs(longitude)}°"
    return f"{abs(longitude)}° {'E' if longitude > 0 else 'W'}"


def _anchor(direction, low, middle, high):
    return low if direction < -0.3 else high if direction > 0.3 else middle


def _draw_stations(axes, frame, stations):
    """Draw stations, those with a rank large and on top; return how many (ranked, not ranked) lie in the frame."""
    stations = list(stations)
    if not stations:
        return 0, 0
    x, y = frame.project([float(station["lon"]) for station in stations],
                         [float(station["lat"]) for station in stations])
    x, y = x - frame.x, y - frame.y
    inside = np.hypot(x, y) <= frame.radius
    ranked = np.array([station.get("rank") in BY_CODE for station in stations])
    bare = inside & ~ranked
    axes.scatter(x[bare], y[bare], s=9, c="#ffffff", edgecolors=INK, linewidths=0.6, zorder=7)
    faces = [BY_CODE[stations[i]["rank"]].colour for i in np.flatnonzero(inside & ranked)]
    for stroke, size in (("#ffffff", 62), (INK, 34)):
        axes.scatter(x[inside & ranked], y[inside & ranked], s=size, c=faces, edgecolors=stroke, linewidths=1.1,
                     zorder=8)
    return len(faces), int(bare.sum())


def _draw_scale_bar(axes, frame, longest=1000):
    """Draw ``longest`` km, half of it on maps of less land, as long as along the parallel halfway down the map."""
    latitude = float(round((frame.south + 90) / 2 / 5) * 5)
    kilometres = longest if frame.south < 60 else longest / 2
    length = kilometres * 1000 * frame.scale_along_parallel(latitude)
    left, base = -1.08 * frame.radius, -1.035 * frame.radius
    for part in range(2):
        axes.fill_between([left + part * length / 2, left + (part + 1) * length / 2], base,
                          base + 0.014 * frame.radius, facecolor=INK if part == 0 else "#ffffff", edgecolor=INK,
                          linewidth=0.7, zorder=5)
    for share in (0, 0.5, 1):
        axes.text(left + share * length, base + 0.022 * frame.radius, f"{kilometres * share:,.0f}", fontsize=8,
                  ha="center" if share else "left", va="bottom")
    axes.text(left, base + 0.075 * frame.radius, f"km, true at {latitude:.0f}° N", fontsize=8, color=MUTED,
              ha="left", va="bottom")


def _draw_map_legend(axes, limits, isolated, with_land, stations):
    """Draw the two-tier legend: temperature tiers down, number of positive trends across."""
    rectangle = require("matplotlib.patches", "drawing figures").Rectangle
    axes.set(xlim=(0, 100), ylim=(0, 24))
    axes.axis("off")
    cold, cool, warm = (f"{value:g}".replace("-", "\u2212") for value in limits)
    rows = (("cold", f"MAGT < {cold} °C"), ("cool", f"{cold} to {cool} °C"), ("warm", f"> {cool} to {warm} °C"))

    def swatch(x, y, width, colour, text=""):
        axes.add_patch(rectangle((x, y), width, 4.6, facecolor=colour, edgecolor=INK, linewidth=0.6))
        axes.text(x + width / 2, y + 2.25, text, ha="center", va="center", fontsize=9.5, fontweight="bold",
                  color=text_colour_on(colour))

    axes.text(35.5, 21.7, "Positive trends (MAGT, ALT)", ha="center", va="center", fontsize=10, fontweight="bold")
    for column, heading in enumerate(("none", "one", "both")):
        axes.text(26.5 + 9 * column, 18.2, heading, ha="center", va="center", fontsize=9.5)
    for row, (tier, meaning) in enumerate(rows):
        y = 11.4 - 5.6 * row
        axes.text(0, y + 2.25, tier.capitalize(), va="center", fontsize=10, fontweight="bold")
        axes.text(7.4, y + 2.25, meaning, va="center", fontsize=9)
        for column, rank in enumerate(rank for rank in RANKS if rank.tier == tier):
            swatch(22.2 + 9 * column, y, 8.6, rank.colour, str(rank.code))
    entries = [(BY_CODE[40].colour, "40", f"isolated patches (PP < {isolated:g} %)")]
    if with_land:
        entries += [(LAND, "", "land without a rank"), (SEA, "", "sea, or no data")]
    for place, (colour, text, label) in enumerate(entries):
        y = 11.4 - 5.6 * place
        swatch(56, y, 8.6, colour, text)
        axes.text(66, y + 2.25, label, va="center", fontsize=9.5)
    ranked, bare = stations
    if ranked:
        axes.scatter([60.3], [18.6], s=38, c="#ffffff", edgecolors=INK, linewidths=1.1)
        axes.text(66, 18.5, f"station ({ranked}), colour: its rank", va="center", fontsize=9.5)
    if bare:
        axes.scatter([60.3], [22.2], s=9, c="#ffffff", edgecolors=INK, linewidths=0.6)
        axes.text(66, 22.1, f"station without a rank ({bare})", va="center", fontsize=9.5)


# ---- shared by the figures ------------------------------------------------------------------------------------------

@contextmanager
def _figure(width, height, width_px):
    """Yield (figure, function that returns its PNG bytes): ``width`` × ``height`` inches, ``width_px`` pixels wide."""
    check_stopped()
    matplotlib = require("matplotlib", "drawing figures")
    style = require("matplotlib.style", "drawing figures")
    canvas = require("matplotlib.backends.backend_agg", "drawing figures").FigureCanvasAgg
    # the user's own plotting defaults must not change a figure
    with style.context("default"), matplotlib.rc_context(FONT):
        figure = require("matplotlib.figure", "drawing figures").Figure(figsize=(width, height), dpi=width_px / width,
                                                                        facecolor="#ffffff")
        canvas(figure)

        def png():
            check_stopped()
            stream = io.BytesIO()
            figure.canvas.print_png(stream, metadata={"Software": None})
            return stream.getvalue()

        yield figure, png


def text_colour_on(background):
    """Return black or white, whichever reads better on a '#rrggbb' colour."""
    return "#ffffff" if relative_luminance(background) < 0.18 else "#111111"


def relative_luminance(colour):
    """Return the WCAG relative luminance, 0 to 1, of a '#rrggbb' colour."""
    channels = _rgb(colour) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _rgb(colour):
    return np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)])


def _code(value):
    code = int(value)
    if code not in BY_CODE:
        raise InputError(f"{value} is no PTI rank; the ranks are {', '.join(map(str, CODES))}.")
    return code


def _side_by_side(count):
    """Return offsets (count × 2) that lay points round a place, the same for the same count."""
    if count == 1:
        return np.zeros((1, 2))
    index = np.arange(count)
    radius = 0.34 * np.sqrt((index + 0.5) / count) if count > 6 else np.full(count, 0.16)
    angle = index * (math.pi * (3 - math.sqrt(5)) if count > 6 else 2 * math.pi / count)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def _rank_axis(axis):
    axis.set_ticks(range(len(CODES)), [str(code) for code in CODES])
    axis.set_tick_params(length=0)


def _percent_axis(axis):
    axis.grid(True, color="#e3e8ec", linewidth=0.8)
    axis.axes.set_axisbelow(True)
    axis.set_major_locator(require("matplotlib.ticker", "drawing figures").MaxNLocator(8, steps=(1, 2, 5, 10)))


def _interval(row):
    """Return (low, high) of a row, None where it has not both."""
    ends = row.get("low"), row.get("high")
    return None if None in ends else ends


def _open_frame(axes):
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _shares(values, names):
    values = np.asarray(list(values), dtype=float)
    if len(values) != len(names) or not len(names):
        raise InputError(f"There are {len(names)} predictors but {len(values)} importance values; give one for each.")
    total = values.sum()
    return values / total * 100 if total > 0 else values


def _legend_handles(groups):
    patch = require("matplotlib.patches", "drawing figures").Patch
    # a label that begins with _ would be left out
    return [patch(facecolor=GROUP_COLOURS.get(group.lower(), "#b5bcc2"),
                  label=for_figure(f" {group}" if group.startswith("_") else group)) for group in groups]
