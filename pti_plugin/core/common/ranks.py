"""The ten ranks of the Permafrost Thaw Index: codes, names, tiers, colours (the paper's Table 3 and Fig. 9).

The colours run from blue (cold, stable) over green to red (warm, both trends), each tier from light to dark, and
stay apart under the common colour-vision deficiencies.
"""

from collections import namedtuple

Rank = namedtuple("Rank", "code tier label colour")

#: code of a cell without a rank
NO_RANK = 0

RANKS = (
    Rank(11, "cold", "11 Cold, no positive trend", "#9dbbdc"),
    Rank(12, "cold", "12 Cold, one positive trend", "#4f7fbb"),
    Rank(13, "cold", "13 Cold, both positive", "#08397c"),
    Rank(21, "cool", "21 Cool, no positive trend", "#a9efa4"),
    Rank(22, "cool", "22 Cool, one positive trend", "#43b96c"),
    Rank(23, "cool", "23 Cool, both positive", "#4f7350"),
    Rank(31, "warm", "31 Warm, no positive trend", "#fbd935"),
    Rank(32, "warm", "32 Warm, one positive trend", "#f08d30"),
    Rank(33, "warm", "33 Warm, both positive", "#b1381b"),
    Rank(40, "isolated", "40 Isolated patches", "#702f57"),
)

CODES = tuple(rank.code for rank in RANKS)
BY_CODE = {rank.code: rank for rank in RANKS}
TIERS = ("cold", "cool", "warm", "isolated")
#: place of each code in the order from stable to vulnerable; used for "within one rank" and correlation
ORDER = {code: place for place, code in enumerate(CODES)}


def colour_table():
    """Return {code: (label, (r, g, b))} for writing into class rasters."""
    return {rank.code: (rank.label, hex_to_rgb(rank.colour)) for rank in RANKS}


def hex_to_rgb(colour):
    """Return the (r, g, b) integers of a '#rrggbb' colour."""
    return tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5))
