"""Settings of the site. `make site` copies this file and the pages beside it, and adds notebooks and API pages."""

import re
import shutil
from importlib.metadata import distribution
from pathlib import Path

from quantlab import __version__

project = "quantlab"
author = "the authors of quantlab"
copyright = "the authors of quantlab: code Apache-2.0, text and figures CC BY 4.0"
release = __version__
html_title = "quantlab"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
exclude_patterns = ["**/.ipynb_checkpoints"]

# The notebooks hold their outputs already, and the tests have compared them.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
default_role = "code"
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_theme_options = {
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],
}
html_domain_indices = False  # the reference has its own contents
html_static_path = ["_static"]
html_css_files = ["quantlab.css"]
html_favicon = "_static/favicon.svg"
# Nothing is loaded from a network: formulas are drawn by one file that lies beside the pages.
mathjax_path = "mathjax/tex-svg-full.js"

# A paragraph that is indented below a colon, after an empty line, and is no list, example, directive or literal.
INDENTED = re.compile(r"(?<=[^:]:\n\n)(?=( +)[^\s>*.|-])((?:\1.*(?:\n|$))+)")


def formulas_line_by_line(app, what, name, obj, options, lines):
    """Keep the lines of an indented paragraph below a colon apart: they are formulas, one a line.

    A line that is indented further goes on with the one above it.
    """
    text = "\n".join(lines)
    for match in reversed(list(INDENTED.finditer(text))):
        indent, first = match[1], match.start(1)
        kept = [f"{indent}{'| ' if line[len(indent)] != ' ' else '  '}{line.strip()}" for line in match[2].splitlines()]
        text = text[:first] + "\n".join(kept) + "\n" + text[match.end() :]
    lines[:] = text.split("\n")


def types_as_text(app, what, name, obj, options, lines):
    """Keep the types of attributes as they are written: their words ("n", "shape") are no references.

    Bars around a name are an absolute value, not a substitution.
    """
    for index, line in enumerate(lines):
        line = re.sub(r"^(\s*):type: (.+)$", r"\1``\2``", line)
        lines[index] = re.sub(r"(?<![`|\\])\|(?=\w+\|)", r"\|", line)


def copy_mathjax(app, error):
    """Copy the one file of MathJax that draws with paths, and so needs no fonts."""
    if error is None and app.builder.format == "html":
        source = distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/{mathjax_path}")
        target = Path(app.outdir, "_static", mathjax_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def setup(app):
    app.connect("autodoc-process-docstring", formulas_line_by_line, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", types_as_text, priority=900)  # after napoleon
    app.connect("build-finished", copy_mathjax)
