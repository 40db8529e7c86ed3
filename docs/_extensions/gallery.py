"""Runs the scripts of docs/gallery: writes their pictures and the page that shows them with their code."""

import ast
from pathlib import Path

from docutils import nodes

#: Where pictures go, below the folder of the documentation.
PICTURES = "_static/gallery"


def run_script(path, out):
    """Run a script and save its figures, a dictionary by name; return a link to and the part of the page on it."""
    text = path.read_text(encoding="utf-8")
    title, _, told = ast.get_docstring(ast.parse(text)).partition("\n\n")
    names = {}
    exec(compile(text, str(path), "exec"), names)  # noqa: S102
    parts = [f"## {title}", told]
    for name, figure in names["figures"].items():
        figure.savefig(out / f"{name}.png", dpi=110)
        parts.append(f"![{name.replace('-', ' ')}](../{PICTURES}/{name}.png)")
    code = text.split('"""', 2)[2].strip()
    image = f'<img src="../{PICTURES}/{next(iter(names["figures"]))}.png" alt="" style="height: 8rem">'
    link = f'<a href="#{nodes.make_id(title)}" title="{title}">{image}</a>'
    return link, "\n\n".join([*parts, f"```python\n{code}\n```"])


def write_gallery(folder):
    """Write the pictures and the page below a folder of documentation."""
    import matplotlib as mpl

    mpl.use("Agg")
    out = Path(folder, PICTURES)
    out.mkdir(parents=True, exist_ok=True)
    links, parts = zip(*(run_script(path, out) for path in sorted(Path(folder, "gallery").glob("*.py"))), strict=True)
    # One paragraph, which HTML alone shows.
    thumbnails = "```{raw} html\n<p>" + "\n".join(links) + "</p>\n```"
    page = "\n\n".join(["# Gallery", "Each picture with the code that draws it.", thumbnails, *parts])
    Path(folder, "user_guide", "gallery.md").write_text(page + "\n", encoding="utf-8")


def setup(app):
    app.connect("builder-inited", lambda app: write_gallery(app.srcdir))
    return {"parallel_read_safe": True}
