"""The documentation site: ``python -m sphinx -W -j auto docs build/site``, without a network."""

import importlib.util
import os
import sys
from pathlib import Path

# Two examples run at a time: their threads must not spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import nnqm

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "nnqm"
author = "the nnqm developers"
copyright = author
version = release = nnqm.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "outside",
    "toctrees",
    "agents",
    "api",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
templates_path = ["_templates"]
exclude_patterns = [
    "_extensions",
    "_templates",
    *(f"gallery/*.{ending}" for ending in ("ipynb", "py", "zip", "json", "md5")),
]
nitpicky = True

# ---- pages

myst_enable_extensions = ["dollarmath", "colon_fence"]
# Links to headings are those of a forge.
myst_heading_anchors = 4
# The tests execute every block of code in the pages, so the build executes none.
nb_execution_mode = "off"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Pages below each page, by caption.
toctrees = {
    "index": {
        "": [
            "start",
            "guide",
            "physics",
            "gallery/index",
            "reference/index",
            "trust",
            "project/contributing",
            "project/changelog",
        ]
    },
    "start": {"": ["project/readme", "first-hour", "recipes/index", "coming-from/index"]},
    "coming-from/index": {"": ["pyerrors", "deeptime", "emcee", "qutip", "diffrax", "jax"]},
    "recipes/index": {"": ["[!i]*"]},
    "guide": {
        "Theories": ["hamiltonians", "random-weights", "theory-file"],
        "Runs": ["command-line", "engines", "batch-queues", "machines", "saved-files"],
        "Results": ["reports", "plots", "notebooks"],
        "Levels and correlators": ["spectrum", "one-correlator", "two-level"],
        "Your own data": ["your-data", "chains", "what-happens-to"],
        "Positivity": ["positivity", "positivity-of-fields"],
        "Without sampling": ["exact", "kkl"],
        "Learning": [
            "gradients",
            "fit",
            "trained-ensembles",
            "infinite-width",
            "training-dynamics",
            "scan",
            "designed-hamiltonians",
        ],
        "Fields": ["fields", "boxes", "finite-width"],
        "Other programs": ["interoperability", "embedding"],
    },
    "physics": {"": ["theory/index", "architectures", "dictionary", "publications", "figure-3", "published-fields"]},
    "theory/index": {
        "": [
            "paths",
            "oscillator",
            "levels",
            "correlator-matrix",
            "positivity",
            "commutator",
            "sectors",
            "temperature",
            "fields",
            "learning",
            "errors",
        ]
    },
    "reference/index": {"": ["nnqm*", "commands"]},
    "trust": {"": ["error-bars", "reproducibility", "speed", "limits", "testing-your-theory", "benchmarks"]},
    "benchmarks": {"": ["benchmarks/*"]},
}

# ---- reference

autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"
default_role = "code"

# ---- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"test_",
    "within_subsection_order": "FileNameSortKey",
    "parallel": 2,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": "True",
    "matplotlib_animations": False,
    "image_srcset": ["2x"],
    "show_signature": False,
    "write_computation_times": False,
}

# ---- the site

html_theme = "pydata_sphinx_theme"
html_title = "nnqm"
# MathJax itself, so that formulas need no network.
(_mathjax,) = importlib.util.find_spec("mathjax").submodule_search_locations
html_static_path = ["_static", f"{_mathjax}/static/mathjax/es5/tex-svg.js"]
html_css_files = ["site.css"]
mathjax_path = "tex-svg.js"
mathjax3_config = {"svg": {"scale": 0.92}}
html_extra_path = ["llms.txt"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "nnqm"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
