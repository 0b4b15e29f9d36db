"""Where everything stands in the figures, and in which colour, is as it was looked at.

What the figures say is tested in test_figures. Here every line, bar, dot and text of each is listed with its place and
compared with tests/data/looked_at. Sizes of letters and widths of lines are a matter of taste and left out.
"""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from pti_plugin.core.reporting import figures, polar_map  # noqa: E402
from support import assert_as_looked_at, write_raster  # noqa: E402


def number(value):
    """A number to four digits, as text: rounding differs between machines."""
    value = float(value)
    return "0" if abs(value) < 1e-6 else f"{value:.4g}"


def numbers(values):
    values = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).ravel()
    if values.size > 12:
        return f"{values.size} numbers, mean {number(np.nanmean(values))}, spread {number(np.nanstd(values))}"
    return " ".join(map(number, values))


def colour(value):
    from matplotlib.colors import to_hex

    if value is None or isinstance(value, str) and value == "none":
        return "none"
    rows = np.atleast_2d(np.asarray(matplotlib.colors.to_rgba_array(value)))
    return " ".join(dict.fromkeys(to_hex(row, keep_alpha=True) for row in rows))


def of_text(item):
    at = item.get_position()
    if hasattr(item, "xyann"):
        at = (*item.xy, *item.xyann)
    return (f"{item.get_text()!r} at {numbers(at)}, {item.get_ha()} {item.get_va()}, {colour(item.get_color())}, "
            f"{item.get_fontweight()} {item.get_fontstyle()}")


def of_artist(item):
    """Describe an artist, or return None for what is part of every frame."""
    from matplotlib import collections, image, legend, lines, patches, text

    if isinstance(item, text.Text):
        return "text " + of_text(item) if item.get_text() else None
    if isinstance(item, lines.Line2D):
        dashes = item._dash_pattern if hasattr(item, "_dash_pattern") else (item._dashOffset, item._dashSeq)
        return (f"line {numbers(item.get_xdata())} / {numbers(item.get_ydata())}, {colour(item.get_color())}, "
                f"{item.get_linestyle() if dashes[1] is None else 'dashed'} {item.get_marker()}, "
                f"{colour(item.get_markerfacecolor())} {colour(item.get_markeredgecolor())}"
                + ("" if item.get_label().startswith("_") else f", {item.get_label()!r}"))
    if isinstance(item, patches.Patch):
        path = item.get_patch_transform().transform(item.get_path().vertices)
        return f"patch {numbers([*path.min(axis=0), *path.max(axis=0)])}, " \
               f"{colour(item.get_facecolor())} {colour(item.get_edgecolor())}"
    if isinstance(item, collections.PathCollection) and not len(item.get_facecolor()):
        # the coast, which releases of matplotlib keep in different ways
        return None
    if isinstance(item, collections.PathCollection) and len(item.get_offsets()):
        return f"dots {numbers(item.get_offsets())}, {colour(item.get_facecolor())} {colour(item.get_edgecolor())}"
    if isinstance(item, collections.Collection):
        places = [path.vertices for path in item.get_paths() if len(path.vertices)]
        inner = numbers(np.concatenate(places)) if places else "nothing"
        return f"shape {inner}, {colour(item.get_facecolor())} {colour(item.get_edgecolor())}"
    if isinstance(item, image.AxesImage):
        cells = np.asarray(item.get_array())
        counts = np.unique(cells.reshape(-1, cells.shape[-1]), axis=0, return_counts=True)
        return f"image {cells.shape} in {numbers(item.get_extent())}: " + ", ".join(
            f"{tuple(kind.tolist())} {count}" for kind, count in zip(*counts))
    if isinstance(item, legend.Legend):
        within = (item.axes.transAxes if item.axes is not None else item.figure.transFigure).inverted()
        return (f"legend {item._loc} in {numbers(item.get_bbox_to_anchor().transformed(within).bounds)}, "
                f"{item.get_title().get_text()!r}, {[text.get_text() for text in item.get_texts()]}")
    return None


def described(figure):
    lines = [f"{numbers(figure.get_size_inches())} inches, {number(figure.dpi)} dots an inch"]
    lines += [told for told in map(of_artist, [*figure.texts, *figure.legends]) if told]
    for axes in figure.axes:
        lines.append(f"axes {numbers(axes.get_position(original=True).bounds)}, {numbers(axes.get_xlim())} across, "
                     f"{numbers(axes.get_ylim())} up, aspect {axes.get_aspect()}, "
                     f"{'framed' if axes.axison else 'bare'}")
        if axes.axison:
            lines.append("  edges " + " ".join(name for name, spine in axes.spines.items() if spine.get_visible()))
            for name, axis in (("across", axes.xaxis), ("up", axes.yaxis)):
                labels = [(text.get_text(), colour(text.get_color())) for text in axis.get_ticklabels()]
                lines.append(f"  {name} {axis.get_label_text()!r}, {numbers(axis.get_ticklocs())}, "
                             f"{labels if any(text for text, _ in labels) else ''}")
        frame = {*axes.spines.values(), axes.xaxis, axes.yaxis, axes.patch, axes.title}
        lines += [f"  {told}" for told in map(of_artist, [item for item in axes.get_children() if item not in frame])
                  if told]
    return "\n".join(lines)


@pytest.fixture
def drawn(monkeypatch):
    """Draws figures without making pictures: a function that returns what a call of ``figures`` has drawn, in words."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kept = []
    monkeypatch.setattr(figures, "MAP_CELLS", 100)
    monkeypatch.setattr(polar_map, "OVERVIEW_CELLS", 100)

    def described_instead(canvas, stream, **_options):
        kept.append(described(canvas.figure))

    monkeypatch.setattr(FigureCanvasAgg, "print_png", described_instead)

    def draw(function, *given, **options):
        function(*given, **options)
        return f"{function.__name__}\n{kept.pop()}\n"

    return draw


@pytest.fixture
def maps(tmp_path):
    """(ranks, base map, area of applicability) of 5° cells round the pole."""
    rows, columns = np.mgrid[0:9, 0:72]
    ranks = np.choose((rows + columns // 6) % 6, [0, 11, 22, 33, 40, 12]) * (rows > 1)
    base = np.where(columns < 40, 1, 0)
    options = {"nodata": 0, "crs": "EPSG:4326", "transform": (-180.0, 5.0, 0.0, 90.0, 0.0, -5.0), "dtype": "uint8"}
    inside = np.where(ranks > 0, ranks % 2, 255)
    return (write_raster(tmp_path / "ranks.tif", ranks, **options),
            write_raster(tmp_path / "base.tif", base, **options),
            write_raster(tmp_path / "applicability.tif", inside, **{**options, "nodata": 255}))


STATIONS = [{"lon": 20.0, "lat": 70.0, "rank": 11}, {"lon": -150.0, "lat": 65.0, "rank": 33},
            {"lon": 100.0, "lat": 60.0}, {"lon": 100.0, "lat": -60.0}]


def test_the_maps_are_laid_out_as_they_were_looked_at(drawn, maps):
    ranks, base, applicability = maps
    text = [drawn(figures.pti_map, ranks, "Title", "Below it", base, STATIONS, "A note", limits=(-4.0, -1.0, 2.5),
                  isolated=15.0), drawn(figures.pti_map, ranks, "Title"),
            drawn(figures.applicability_map, applicability, ranks, base),
            drawn(figures.applicability_map, applicability, ranks)]
    assert_as_looked_at("figures_maps.txt", "\n".join(text))


def test_the_diagrams_are_laid_out_as_they_were_looked_at(drawn):
    bins = [{"expected": value, "value": value - 5, "low": value - 8, "high": value + 1, "n": 1000 * number + 7}
            for number, value in enumerate((9.0, 35.0, 72.5, 99.5), start=1)]
    plain = [{**row, "low": None, "high": None} for row in bins[:2]]
    curve = [{"features": number, "mean_accuracy": mean, "sd_accuracy": 1.5, "chosen": float(number == 3)}
             for number, mean in enumerate((40.0, 57.0, 61.0, 60.0), start=1)]
    panel = [{"line": "out-of-bag vote", "value": 61.8, "low": 60.9, "high": 62.7, "n": 9, "meaning": ""},
             {"line": "a longer line that takes more than one line of its label", "value": 44.0, "low": None,
              "high": None, "n": 9, "meaning": ""},
             {"line": "vote on its own sample (in-sample)", "value": 91.8, "low": 91.0, "high": 92.5, "n": 9,
              "meaning": "in-sample"}, {"line": "left out", "value": None}]
    low = [{"line": "vote on its own sample (in-sample)", "value": 12.0, "low": 11.0, "high": 12.5, "n": 9,
            "meaning": "in-sample"}, {"line": "out-of-bag vote", "value": 50.0, "low": 49.0, "high": 99.5, "n": 3}]
    areas = [{"rank": code, "label": f"rank {code}", "area_km2": area, "share_percent": share}
             for code, area, share in ((11, 2.5e6, 62.5), (22, 1e6, 25.0), (40, 5e5, 12.5))]
    estimates = [{"label": "ice", "mapped": 1200.0, "area": 1500.0, "low": 1300.0, "high": 1700.0},
                 {"label": "a class with a name longer than one line", "mapped": None, "area": 300.0, "low": None,
                  "high": None}]
    text = [
        drawn(figures.station_scatter, [11, 11, 12, 33, 40, None, *[22] * 8], [11, 12, 12, 11, 40, 11, *[22] * 8],
              "Title"),
        drawn(figures.magt_scatter, [-8.2, -3.0, -1.5, -1.4, 3.0, 4.1, None], [-7.0, -3.5, -1.0, -2.0, 2.5, 1.0, 1.0],
              "Title"),
        drawn(figures.magt_scatter, [], [], "Title", (-4.0, -2.0, 1.0)),
        drawn(figures.area_bars, areas), drawn(figures.area_bars, []),
        drawn(figures.area_estimates_plot, estimates, "km²"),
        drawn(figures.area_estimates_plot, [dict(estimates[0], low=None, high=None)], "ha", ("one", "other")),
        drawn(figures.confusion_matrix, np.array([[30, 1, 0], [2, 9, 4], [0, 0, 0]]), ["11", "12", "a longer name"]),
        drawn(figures.shap_bars, ["lst", "snow", "soil carbon of the upper metre"], ["thermal", "hydrological", "soil"],
              [3.0, 1.0, 2.0], [1.0, 2.0, 5.0]), drawn(figures.shap_bars, ["a"], ["none of the groups"], [1.0]),
        drawn(figures.rfecv_curve, curve, {"features": 2, "mean_accuracy": 63.0}),
        drawn(figures.rfecv_curve, curve[:3]),
        drawn(figures.calibration_plot, bins, bins[1:3]), drawn(figures.calibration_plot, plain),
        drawn(figures.accuracy_panel_plot, panel), drawn(figures.accuracy_panel_plot, low)]
    assert_as_looked_at("figures_diagrams.txt", "\n".join(text))
