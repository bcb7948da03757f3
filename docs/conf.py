"""How Sphinx builds these pages; CONTRIBUTING.md has the command. Nothing is fetched from the network."""

import sys
from pathlib import Path

# For `from_code` and `code_tables`, which are no part of any package.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scripts")]

project = "Continual benchmark"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_code"]
# Kept runs have tables in Markdown, which pages show in part.
exclude_patterns = ["_build", "results/*/*.md"]

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False

# Of blocks that do not name one.
highlight_language = "none"

# Links may name a heading, as in definitions.md#accuracy.
myst_heading_anchors = 3

# Docstrings are plain text, in which `name` is code and "name" a value.
smartquotes = False
default_role = "code"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
