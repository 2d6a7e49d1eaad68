"""One HTML page of sections, figures and tables, that needs no other file and no network."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artaffect.report.tables import TextTable
from artaffect.runtime import atomic_file


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    title: str
    """Empty for the part that stands under the page's own title."""
    paragraphs: Sequence[str] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    """SVG by title."""
    tables: Sequence[TextTable] = ()
    points: Sequence[str] = ()
    """Drawn as a list."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Text → address, drawn as a list."""
    body: str = ""
    """Further HTML, escaped by whoever made it."""

    def to_markdown(self) -> str:
        """All but figures and further HTML."""
        lines = [f"## {self.title}\n"] if self.title else []
        lines += [f"{text}\n" for text in self.paragraphs]
        if self.points or self.links:
            points = [*self.points, *(f"[{text}]({to})" for text, to in self.links.items())]
            lines.append("\n".join(f"- {text}" for text in points) + "\n")
        return "\n".join([*lines, *(table.to_markdown() for table in self.tables)])

    def to_html(self) -> str:
        """As part of a page."""
        parts = [f"<h2>{html.escape(self.title)}</h2>"] if self.title else []
        parts += [f"<p>{html.escape(text)}</p>" for text in self.paragraphs]
        if self.points:
            parts.append(_list([html.escape(text) for text in self.points]))
        if self.links:
            links = self.links.items()
            anchors = [
                f'<a href="{html.escape(to, quote=True)}">{html.escape(text)}</a>'
                for text, to in links
            ]
            parts.append(_list(anchors))
        for name, svg in self.figures.items():
            label = html.escape(name, quote=True)
            parts.append(
                f"<figure><figcaption>{html.escape(name)}</figcaption>"
                f'<div class="scroll" role="img" aria-label="{label}">{svg}</div></figure>'
            )
        parts += [_html_table(table) for table in self.tables]
        return "\n".join(["<section>", *parts, self.body, "</section>"])


def save_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write one HTML page."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(section.to_html() for section in sections)]
    page = _PAGE.replace("{title}", html.escape(title)).replace("{body}", "\n".join(parts))
    with atomic_file(path) as temporary:
        temporary.write_text(page, "utf-8")


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _html_table(table: TextTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table><caption>{html.escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
li { margin: .3rem 0; }
a { color: #005a9c; }
img { max-width: 100%; height: auto; }
button { font: inherit; font-size: .8rem; margin-left: .8rem; padding: 0 .5rem; cursor: pointer; }
.quote { border-left: 3px solid #0072B2; padding: .1rem .8rem; margin: .6rem 0; }
.quote[dir=rtl] { border-left: 0; border-right: 3px solid #0072B2; }
.felt { font-size: .85rem; color: #555; }
figure { margin: 2rem 0; }
figcaption, caption { font-weight: 600; text-align: left; padding: .4rem 0; }
figure svg { max-width: 100%; height: auto; }
@media screen and (max-width: 40rem) { figure svg { max-width: none; min-width: 36rem; } }
.scroll { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th[scope=row], thead th:first-child { text-align: left; }
thead th { border-bottom: 2px solid #666; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; } figure { break-inside: avoid; }
  h2 { break-after: avoid; } button { display: none; } .scroll { overflow: visible; }
  table { font-size: 8pt; } th, td { padding: .15rem .35rem; white-space: normal; } }
</style>
</head>
<body>
{body}
<script>
// a table copied as tab-separated text can be pasted into a sheet
for (const caption of document.querySelectorAll("table caption")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    const rows = [...caption.closest("table").rows];
    const text = rows.map(r => [...r.cells].map(c => c.innerText).join("\\t")).join("\\n");
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(caption.closest("table")); }
  });
  caption.append(button);
}
</script>
</body>
</html>
"""
