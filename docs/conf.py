"""Sphinx configuration for `make docs`. The pages are also readable as plain Markdown files."""

import artaffect

project = "artaffect"
author = copyright = "the artaffect developers"
version = release = artaffect.__version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"artaffect {release}"
