"""Sphinx configuration."""

import sys
from pathlib import Path

from calkit import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "calkit"
author = "The calkit developers"
copyright = "2026, the calkit developers"
release = version = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "catalogue",
    "gallery",
    "mathml",
    "sphinx_click",
]
templates_path = ["_templates"]
html_math_renderer = "mathml"
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"
# Methods stand on the pages of their classes (see _templates/autosummary/class.rst).
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Methods inherited from scikit-learn refer to its own user guide.
suppress_warnings = ["ref.ref", "ref.term"]

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = "calkit"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
