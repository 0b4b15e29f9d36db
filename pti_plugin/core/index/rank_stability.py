"""Leave one product out: in which cells the rank of the index hangs on a single product.

A product gives a PP layer, a MAGT layer or both, and is left out with all it gives. The rank of a cell flips where it
becomes another one, or none, without the product; a cell without a rank may gain one.
"""

import re
from dataclasses import dataclass

import numpy as np

from ..common import ranks
from ..common.errors import InputError
from ..rasters.blocks import OutputSpec
from ..rasters.tally import Tally
from ..rasters.units import check_patterns, matching, parse_assignments
from .rank_comparison import share_of, table_row

STABILITY_NODATA = 255
#: the count of the stability raster stops here
MOST = 3
GAINED = 100
#: codes of the stability raster, what they say and their colours
STABILITY = {
    0: ("Same rank whichever product is left out", "#d9d7d0"),
    1: ("Flips without one of the products", "#fdc66b"),
    2: ("Flips without either of two products", "#e9692c"),
    MOST: ("Flips without any of three products or more", "#8b1a4a"),
    GAINED: ("Not ranked, but ranked without a product", "#41ab5d"),
}

#: name of the row for all products together
ANY = "any product"
#: what becomes of a cell without a product: flags, because it may be one thing without one and another without another
CHANGED, LOST, GAINS = 1, 2, 4
#: sections of the table, and the flags of which a cell has at least one
SECTIONS = {"leave_one_out": CHANGED | LOST, "leave_one_out_changed": CHANGED, "leave_one_out_lost": LOST,
            "leave_one_out_gained": GAINS}

_HOW = ("Say with PRODUCTS which layers belong together, as pattern=product pairs, for example "
        "*pex*=Obu; *cci*=CCI; ran_*=NIEER.")


@dataclass(frozen=True)
class Product:
    """A product by ``name`` and the places of its layers among the PP and the MAGT products."""

    name: str
    pp: tuple
    magt: tuple


def find_products(pp_names, magt_names, text=""):
    """Return the Products that the layers, given by their file names, belong to.

    ``text``: pattern=product pairs; where it is empty, layers belong together whose names share a word that no other
    layer of their kind has. Raises InputError where a layer has no product, or where the words do not pair the layers.
    """
    pairs = parse_assignments(text, "PRODUCTS")
    if not pairs:
        return _by_words(pp_names, magt_names)
    check_patterns(pairs, [*pp_names, *magt_names], "PRODUCTS")
    found = {}
    for kind, names in enumerate((pp_names, magt_names)):
        for place, name in enumerate(names):
            product = matching(pairs, name)
            if product is None:
                raise InputError(f"{name} belongs to none of the PRODUCTS. {_HOW}")
            found.setdefault(product, ([], []))[kind].append(place)
    return tuple(Product(name, tuple(pp), tuple(magt)) for name, (pp, magt) in sorted(found.items()))


def _by_words(pp_names, magt_names):
    pp_words, magt_words = ([_words(name) for name in names] for names in (pp_names, magt_names))
    products, taken = [], set()
    for place, words in enumerate(pp_words):
        shared = [word for word in words if sum(word in other for other in pp_words) == 1
                  and sum(word in other for other in magt_words) == 1]
        partners = {i for i, other in enumerate(magt_words) for word in shared if word in other}
        if len(partners) != 1 or partners & taken:
            raise InputError(f"The names of the layers do not tell which MAGT layer is of the same product as "
                             f"{pp_names[place]} (MAGT: {', '.join(magt_names)}). {_HOW}")
        taken |= partners
        # a word says more than a number
        products.append(Product(sorted(shared, key=str.isdigit)[0], (place,), tuple(partners)))
    if len(taken) < len(magt_names):
        left = [name for i, name in enumerate(magt_names) if i not in taken]
        raise InputError(f"{' and '.join(left)}: no PP layer is of the same product. {_HOW}")
    return tuple(sorted(products, key=lambda product: product.name))


def _words(name):
    return list(dict.fromkeys(word for word in re.split(r"[^a-z0-9]+", name.lower().rsplit(".", 1)[0]) if word))


def check_left(products, pp_count, magt_count, min_products, min_magt):
    """Raise InputError where too few layers are left without one of the Products to make an ensemble of them."""
    for product in products:
        for role, count, least, remedy in (
                ("PP", pp_count - len(product.pp), min_products, "Lower MIN_PRODUCTS, or set MIN_PRODUCTS_LEFT"),
                ("MAGT", magt_count - len(product.magt), min_magt, "Lower MIN_MAGT")):
            if count < 2:
                raise InputError(f"Without {product.name} {count} {role} product is left, and an ensemble needs 2. "
                                 f"Leaving a product out takes three products or more.")
            if count < least:
                raise InputError(f"Without {product.name} {count} {role} products are left, fewer than the {least} "
                                 f"needed. {remedy}.")


def leave_each_out(index, products, rank_without, areas):
    """Return (stability, tallies) of a block.

    ``index``: ranks with all products, uint8, 0 = none. ``rank_without(product)``: ranks without it. ``stability``:
    uint8, number of products without which a ranked cell flips, up to MOST; GAINED; STABILITY_NODATA. ``tallies``:
    {"without " and a product's name or ANY: Tally by flags, "stability": Tally by code}.
    """
    ranked = index != ranks.NO_RANK
    flips, any_fate = np.zeros(index.shape, dtype=np.uint8), np.zeros(index.shape, dtype=np.uint8)
    tallies = {}
    for product in products:
        without = rank_without(product)
        fate = np.where(ranked, np.where(without == ranks.NO_RANK, LOST, CHANGED), GAINS).astype(np.uint8)
        fate[without == index] = 0
        any_fate |= fate
        flips += (fate & (CHANGED | LOST)) != 0
        tallies[f"without {product.name}"] = _tally(fate, areas, fate != 0)
    tallies[f"without {ANY}"] = _tally(any_fate, areas, any_fate != 0)
    stability = np.where(ranked, np.minimum(flips, MOST),
                         np.where(any_fate, GAINED, STABILITY_NODATA)).astype(np.uint8)
    tallies["stability"] = _tally(stability, areas, stability != STABILITY_NODATA)
    return stability, tallies


def _tally(codes, areas, where):
    return Tally.of(codes[where], areas[where], 256)


def stability_rows(tallies, products, ranked):
    """Return the sections of SECTIONS and "stability" of the tallies; shares are of ``ranked``, (cells, area)."""
    rows = []
    for section, flags in SECTIONS.items():
        for name in [*(product.name for product in products), ANY]:
            tally = tallies[f"without {name}"]
            rows.append(table_row(section, name, tally.sum(key for key in tally.cells if key & flags), ranked))
    return rows + [table_row("stability", label, tallies["stability"].sum([code]), ranked)
                   for code, (label, _) in STABILITY.items()]


def stability_sentences(rows, products):
    """Return what the log says of the stability, a list of sentences."""
    said = [f"Without {product.name} {share_of(rows, product.name, 'leave_one_out', 'cells_percent'):.2f} % of the "
            f"ranked cells flip ({share_of(rows, product.name, 'leave_one_out_changed', 'cells_percent'):.2f} % to "
            f"another rank, {share_of(rows, product.name, 'leave_one_out_lost', 'cells_percent'):.2f} % to none)."
            for product in products]
    stable = share_of(rows, STABILITY[0][0], "stability", "cells_percent")
    return [*said, f"{stable:.2f} % of the ranked cells keep their rank whichever product is left out."]


def stability_spec(path, products):
    """Return the OutputSpec of a stability raster."""
    return OutputSpec(path, "uint8", STABILITY_NODATA, ("products without which the rank flips",),
                      colours={code: (label, ranks.hex_to_rgb(colour)) for code, (label, colour) in STABILITY.items()},
                      metadata={"PTI_PRODUCTS": "; ".join(product.name for product in products)})
