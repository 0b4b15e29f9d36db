"""The style of the stations compared with a map: colour says the rank of the station, the mark round it the match."""

from ..common.escapes import for_markup
from ..common.ranks import RANKS, hex_to_rgb
from ..common.styles import document

_INK, _PAPER = "34,40,46,255", "255,255,255,255"
#: value of the field match → what the legend says, options of the mark under the dot
_MATCHES = {
    "exact": ("Same rank", {"name": "circle", "size": "5.2", "color": _PAPER, "outline_color": _INK,
                            "outline_width": "0.45"}),
    "one off": ("One rank off", {"name": "circle", "size": "5.2", "color": _PAPER, "outline_color": _INK,
                                 "outline_width": "0.45", "outline_style": "dot"}),
    "further": ("Further off", {"name": "cross2", "size": "5.2", "color": _INK, "outline_color": _INK,
                                "outline_width": "0.8"}),
}
_DOT = {"name": "circle", "size": "3.2", "outline_color": _INK, "outline_width": "0.25"}
_BARE = {"name": "circle", "size": "1.6", "color": _PAPER, "outline_color": _INK, "outline_width": "0.25"}


def stations_qml():
    """Return a QML style of the point layer of validation.FIELDS: rules by ``match`` under rules by ``site_rank``.

    A layer that draws two marks a point needs rules; their groups make the legend's two parts.
    """
    groups = [
        ("Map against station", [(f"\"match\" = '{match}'", label, options)
                                 for match, (label, options) in _MATCHES.items()]),
        ("Rank of the station", [
            *((f'"site_rank" = {rank.code}', rank.label, {**_DOT, "color": _opaque(rank.colour)}) for rank in RANKS),
            ('"site_rank" IS NULL', "No rank", _BARE)]),
    ]
    rules, symbols = [], []
    for place, (title, entries) in enumerate(groups):
        rules.append(f'      <rule key="group {place}" label="{for_markup(title)}">')
        for condition, label, options in entries:
            rules.append(f'        <rule key="rule {len(symbols)}" filter="{for_markup(condition)}" '
                         f'label="{for_markup(label)}" symbol="{len(symbols)}"/>')
            symbols.append(_symbol(len(symbols), options))
        rules.append("      </rule>")
    # stations compared lie above the others, the largest misses on top
    return document(['  <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="1" forceraster="0">',
                     '    <rules key="stations">', *rules, "    </rules>",
                     "    <symbols>", *(line for lines in symbols for line in lines), "    </symbols>",
                     "    <orderby>", '      <orderByClause asc="1" nullsFirst="0">coalesce(abs("rank_diff"), -1)'
                     "</orderByClause>", "    </orderby>", "  </renderer-v2>"])


def _symbol(number, options):
    units = {"size_unit": "MM", "outline_width_unit": "MM", "outline_style": "solid"}
    return [f'      <symbol type="marker" name="{number}" alpha="1" clip_to_extent="1" force_rhr="0">',
            '        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">', '          <Option type="Map">',
            *(f'            <Option type="QString" name="{key}" value="{value}"/>'
              for key, value in {**units, **options}.items()),
            "          </Option>", "        </layer>", "      </symbol>"]


def _opaque(colour):
    return ",".join(map(str, (*hex_to_rgb(colour), 255)))
