"""Trees of contents from the configuration, so that pages stay plain Markdown and readable on a forge."""


def add(app, docname, source):
    """Append the hidden trees of a page to its text."""
    trees = app.config.toctrees.get(docname, {})
    for caption, pages in trees.items():
        options = [":hidden:", ":glob:", *([f":caption: {caption}"] if caption else [])]
        source[0] += "\n\n```{toctree}\n" + "\n".join([*options, "", *pages]) + "\n```\n"


def setup(app):
    """Register the configuration value and connect the step."""
    app.add_config_value("toctrees", {}, "env")
    app.connect("source-read", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
