"""The parameters by which a tool is told what product its rasters are of."""

from qgis.core import QgsProcessingParameterEnum

from ..core.rasters.products import NONE, RECOGNISE, read_products
from .base import UNITS_HELP

PRODUCT_HELP = ("Preset: recognise takes it from the name of the file, what the plugin has recorded in it, or its "
                "structure, and the log says which; none takes the values as they are.")


def add_product(tool, advanced=False):
    """Add PRODUCT and PRODUCTS to a tool whose rasters are of one product."""
    # optional, so that models saved before there was a choice keep running
    tool.add(QgsProcessingParameterEnum("PRODUCT", "Product", [RECOGNISE, NONE, *read_products()],
                                        defaultValue=RECOGNISE, optional=True, usesStaticStrings=True),
             PRODUCT_HELP, advanced)
    add_own_products(tool)


def add_products_of_roles(tool):
    """Add PRODUCT, as a text that may tell rasters apart, and PRODUCTS to a tool that takes several products."""
    tool.add_text("PRODUCT", "Products (recognise, none or name=preset; …)", "recognise takes the preset of every "
                  "raster from the name of the file, what the plugin has recorded in it, or its structure, and the log "
                  "says which; none takes the values as they are; pairs state it for files by name, for example "
                  "my_pp.tif=obu_pp; *.tif=none.", RECOGNISE, advanced=True)
    add_own_products(tool)


def add_own_products(tool):
    """Add PRODUCTS, the user's own table of presets."""
    tool.add_file("PRODUCTS", "Products of your own", "CSV table of presets with the columns of the plugin's "
                  "resources/tables/products.csv; its rows go before the plugin's.", optional=True,
                  filters="CSV (*.csv)")


def add_units(tool, advanced=True):
    """Add UNITS, for files that do not say theirs."""
    tool.add_text("UNITS", "Units of the files (name=unit; …)", UNITS_HELP, advanced=advanced)


def products_of(tool, parameters, context):
    """Return {"product", "products", "units"} as the options of the core take them, those that the tool has."""
    values = {name: tool.parameterAsString(parameters, name, context).strip()
              for name in ("PRODUCT", "PRODUCTS", "UNITS") if tool.parameterDefinition(name)}
    definition = tool.parameterDefinition("PRODUCT")
    if definition is not None and definition.type() == "enum":
        values["PRODUCT"] = tool.parameterAsEnumString(parameters, "PRODUCT", context)
    values["PRODUCT"] = values.get("PRODUCT") or RECOGNISE
    return {name.lower(): value for name, value in values.items()}


def table_input(tool, parameters, context):
    """Return [("PRODUCTS", path)] of the user's own presets, or an empty list, for the list of a run's inputs."""
    path = tool.parameterAsString(parameters, "PRODUCTS", context).strip()
    return [("PRODUCTS", path)] if path else []
