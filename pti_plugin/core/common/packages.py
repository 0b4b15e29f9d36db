"""Heavy packages, imported only when a tool needs them, with a sentence for the one that is missing."""

import importlib

from .errors import DependencyError

#: import name → the name to install it by
INSTALL_NAMES = {
    "xgboost": "xgboost-cpu",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "shap": "shap",
    "matplotlib": "matplotlib",
    "pymannkendall": "pymannkendall",
    "numba": "numba",
    "cftime": "cftime",
}


def require(module, purpose):
    """Import ``module`` and return it.

    Raises DependencyError naming the package, what it is needed for and how to install it.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # one built for another numpy fails with ValueError, RuntimeError and others
        package = module.split(".")[0]
        install = INSTALL_NAMES.get(package, package)
        raise DependencyError(
            f"The Python package '{package}' is needed for {purpose} but cannot be imported ({error}). "
            f"Install it for the Python that QGIS uses, for example: python3 -m pip install {install}. "
            f"See the section 'Packages' of the plugin's README; the other tools work without it."
        ) from error


def version_of(module):
    """Return the installed version of ``module``, or None where it is absent or broken."""
    try:
        return getattr(importlib.import_module(module), "__version__", "unknown")
    except Exception:  # see require
        return None
