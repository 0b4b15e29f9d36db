"""Tool: comparison of the profiles, or of two PTI maps, and stability of the ranks."""

from ..core.common import tables
from ..core.common.errors import InputError
from ..core.index.profile_comparison import StabilityOptions, compare_profiles
from ..core.index.rank_comparison import COLUMNS, compare_maps
from .base import PtiAlgorithm
from .exclusion_input import add_exclusion, exclusion_inputs, left_out_classes
from .groups import STATIONS
from .index_input import (
    add_ensemble_options,
    add_index_options,
    add_products,
    add_trends,
    ensemble_options,
    index_options,
)

LISTS, TRENDS, MAPS = ("PP", "MAGT"), ("MAGT_TREND", "ALT_TREND"), ("FIRST", "SECOND")
#: outputs that only products give
OF_PRODUCTS = {"stability": "OUTPUT_STABILITY", "as_published": "OUTPUT_AS_PUBLISHED",
               "defensible": "OUTPUT_DEFENSIBLE"}
RASTERS = {"difference": "OUTPUT", **OF_PRODUCTS}


class CompareProfiles(PtiAlgorithm):
    """Thin wrapper of core.index.profile_comparison.compare_profiles and core.index.rank_comparison.compare_maps."""

    ID = "compareprofiles"
    TITLE = "Compare profiles and products"
    GROUP = STATIONS
    TAGS = ("comparison", "difference", "stability", "sensitivity", "leave one out", "profile", "transition")
    SHORT = "Compares the index as published with the defensible one, and says how it depends on single products."
    HELP = ("Give either products and trends, or two finished maps as FIRST and SECOND. From the products and "
            "trends, the index is built under both profiles and compared cell by cell; then each product is "
            "left out in turn (its PP and its MAGT layer together) to see where the rank flips. For the "
            "conceptual index the profiles differ only in how a trend that could not be tested is reported, so "
            "the ranks are expected to agree. Tests, coverage, gaps and weights differ in the predictors and "
            "the models: predicted maps of two runs, or indices with other thresholds or trends, are compared "
            "as FIRST and SECOND, and the table lists what their records say that the runs have otherwise. "
            "OUTPUT holds defensible minus as_published (SECOND minus FIRST), counted in steps along the ranks "
            "11, 12, 13, 21, 22, 23, 31, 32, 33, 40: from 12 to 21 is 2. 100 is ranked only in the first map, "
            "101 only in the second, -32768 in neither. Where one of three products is left out, permafrost "
            "takes MIN_PRODUCTS of the other two, by default both, and MAGT is the mean of two. Areas are true "
            "ground areas.")
    ONE_SET = ("PP", "MAGT", "MAGT_TREND", "ALT_TREND")

    def initAlgorithm(self, configuration=None):
        """Declare the parameters."""
        add_products(self, optional=True)
        add_trends(self, optional=True)
        self.add_raster("FIRST", "First PTI map (instead of products and trends)",
                        "Instead of products and trends: a PTI map, ranks 11 to 40.", optional=True)
        self.add_raster("SECOND", "Second PTI map", "The PTI map that is compared with FIRST.", optional=True)
        add_exclusion(self, "Cells of the classes EXCLUDE_CODES have no rank in any map.")
        self.add_target()
        add_ensemble_options(self)
        self.add_text("PRODUCTS", "Products (pattern=product; …)",
                      "Which layers are of one product and are left out together, for example *pex*=Obu; *cci*=CCI; "
                      "ran_*=NIEER. Empty: found from the words that the file names share.")
        self.add_integer("MIN_PRODUCTS_LEFT", "PP products needed where one is left out",
                         "A cell is permafrost where at least so many of the products left exceed 0 %; 0 for as many "
                         "as MIN_PRODUCTS.", 0, 0, advanced=True)
        add_index_options(self)
        self.add_settings()
        self.add_raster_output("OUTPUT", "Difference of the ranks",
                               "Places from the rank of the first map to that of the second; 100 and 101 are ranked in "
                               "one map only.")
        self.add_raster_output("OUTPUT_STABILITY", "Stability of the ranks",
                               "Number of products without which the rank flips, 0 to 3 (3 or more); 100 is not ranked "
                               "but ranked without a product, 255 nodata.", optional=True)
        self.add_raster_output("OUTPUT_AS_PUBLISHED", "PTI as published", "The first map, as the index tool makes it.",
                               optional=True)
        self.add_raster_output("OUTPUT_DEFENSIBLE", "PTI, defensible", "The second map, as the index tool makes it.",
                               optional=True)
        self.add_file_output("OUTPUT_TABLE", "Table of the comparison",
                             "CSV: summary, transitions from rank to rank, and what flips without each product, with "
                             "cells, true area and shares.", "CSV (*.csv)")

    def compute(self, parameters, context, progress):
        """Compare the maps."""
        lists = {role: self.raster_paths(parameters, role, context) for role in LISTS}
        single = {role: self.raster_path(parameters, role, context) for role in (*TRENDS, *MAPS)}
        outputs = {name: self.output_path(parameters, name, context) for name in RASTERS.values()}
        outputs["OUTPUT_TABLE"] = self.file_output_path(parameters, "OUTPUT_TABLE", context)
        products = self.parameterAsString(parameters, "PRODUCTS", context).strip()
        of_maps = _of_maps({**lists, **single}, {**outputs, "PRODUCTS": products})
        inputs = [(role, path) for role in LISTS for path in lists[role]]
        left_out = left_out_classes(self, parameters, context)
        inputs += [(role, path) for role, path in single.items() if path]
        inputs += exclusion_inputs(left_out) + self.target_input(parameters, context)
        rasters = {key: outputs[name] for key, name in RASTERS.items()}
        target, settings = self.target_grid(parameters, context), self.settings(parameters, context)
        with self.staging(inputs, outputs, progress) as staging:
            if of_maps:
                result = compare_maps([single[name] for name in MAPS], rasters, staging, progress, target, settings,
                                      left_out)
            else:
                result = compare_profiles(
                    {**lists, **{role: single[role] for role in TRENDS}}, rasters, staging, progress,
                    ensemble_options(self, parameters, context),
                    index_options(self, parameters, context, left_out=left_out),
                    StabilityOptions(products, self.parameterAsInt(parameters, "MIN_PRODUCTS_LEFT", context)),
                    target, settings)
            if outputs["OUTPUT_TABLE"]:
                staging.write_text(outputs["OUTPUT_TABLE"], tables.to_csv(result["table"], COLUMNS))
            return self.finish(staging, parameters, context, progress, inputs, outputs, results=result)


def _of_maps(given, wanted):
    """Return True where two maps are compared, False where products are; raises InputError for anything between.

    ``given``: {name of an input: what was given}; ``wanted``: the same for what only products give.
    """
    maps = [name for name in MAPS if given[name]]
    layers = [name for name in (*LISTS, *TRENDS) if given[name]]
    if not maps:
        missing = [name for name in (*LISTS, *TRENDS) if not given[name]]
        if missing:
            raise InputError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} empty. The comparison "
                             f"takes {', '.join((*LISTS, *TRENDS))}, or two PTI maps as FIRST and SECOND.")
        return False
    if len(maps) == 1:
        raise InputError(f"Of FIRST and SECOND only {maps[0]} is given. Give both maps, or neither and the products.")
    if layers:
        raise InputError(f"FIRST and SECOND are given, and {' and '.join(layers)} as well. Give either two maps or "
                         f"products and trends.")
    asked = [name for name in (*OF_PRODUCTS.values(), "PRODUCTS") if wanted[name]]
    if asked:
        raise InputError(f"{' and '.join(asked)}: two maps do not tell, only products and trends do. Leave it empty, "
                         f"or give those.")
    return True
