"""The parameters by which every tool leaves out water and glaciers: EXCLUDE and EXCLUDE_CODES."""

from ..core.rasters.exclusion import WATER_AND_ICE, LeftOutClasses, parse_codes

DEFAULT_CODES = ", ".join(map(str, WATER_AND_ICE))


def add_exclusion(tool, what, advanced=False):
    """Add EXCLUDE and EXCLUDE_CODES; ``what`` says what becomes of the cells."""
    tool.add_raster("EXCLUDE", "Class raster of water and glaciers",
                    f"Land cover on any grid, such as that of the ensemble land cover tool. {what} Cells without a "
                    f"class are not left out. Empty: nothing is left out.", optional=True, advanced=advanced)
    tool.add_text("EXCLUDE_CODES", "Classes left out", f"Codes of EXCLUDE with commas between; {DEFAULT_CODES} are "
                  f"water and glacier ice of the ensemble land cover and of LandCover_CCI.", DEFAULT_CODES,
                  advanced=True)


def left_out_classes(tool, parameters, context):
    """Return the LeftOutClasses of a run, None where EXCLUDE is empty; raises InputError for codes that are none."""
    path = tool.raster_path(parameters, "EXCLUDE", context)
    if not path:
        return None
    return LeftOutClasses(path, parse_codes(tool.parameterAsString(parameters, "EXCLUDE_CODES", context),
                                            "EXCLUDE_CODES"))


def codes_text(left_out):
    """Return the codes of LeftOutClasses as a record holds them, '' where nothing is left out."""
    return ", ".join(map(str, left_out.codes)) if left_out else ""


def exclusion_inputs(left_out):
    """Return what a run lists among its inputs for LeftOutClasses or None."""
    return [("EXCLUDE", left_out.path)] if left_out else []
