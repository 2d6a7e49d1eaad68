"""Show an evaluation: on the terminal, as one self-contained page, and as a model card."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from artaffect.evaluation.evaluator import EvaluationResult
from artaffect.evaluation.figures import figures_of
from artaffect.evaluation.tables import TextTable, tables_of
from artaffect.runtime import atomic_file


def print_result(result: EvaluationResult, console: Console | None = None) -> None:
    """Print every table."""
    print_tables(tables_of(result), console)
    (console or Console()).print(protocol_line(result), soft_wrap=True)


def print_tables(tables: Sequence[TextTable], console: Console | None = None) -> None:
    """Print tables in full, however narrow the terminal is."""
    console = console or Console()
    if console.width < 120:  # a number cut short is worse than a wrapped line
        console = Console(file=console.file, width=120)
    for table in tables:
        drawn = Table(title=table.title, title_justify="left", title_style="bold")
        for i, heading in enumerate(table.header):
            drawn.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def protocol_line(result: EvaluationResult) -> str:
    """How the numbers were got, in one sentence."""
    p = result.protocol
    line = (
        f"Split {p['split']}: {p['rows']:,} captions of {p['artworks']:,} paintings; "
        f"intervals {p['interval']}; baseline: {p['baseline']}."
    )
    if p["rows_without_picture_left_out"]:
        line += f" {p['rows_without_picture_left_out']:,} captions without a picture are left out."
    if p.get("chosen_on_this_split"):
        line += " The model was chosen on this split, which flatters it a little."
    return line


def save_metrics(result: EvaluationResult, path: Path) -> None:
    """Write everything as JSON."""
    with atomic_file(path) as temporary:
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        temporary.write_text(text, "utf-8")


def save_report(result: EvaluationResult, path: Path, title: str) -> None:
    """Write one HTML page that needs no other file and no network."""
    save_page(path, title, [protocol_line(result)], figures_of(result), tables_of(result))


def save_page(
    path: Path,
    title: str,
    paragraphs: Sequence[str],
    figures: Mapping[str, str],
    tables: Sequence[TextTable],
) -> None:
    """Write paragraphs, figures (SVG by title) and tables as one HTML page that needs no other file."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f"<p>{html.escape(text)}</p>" for text in paragraphs]
    for name, svg in figures.items():
        label = html.escape(name, quote=True)
        parts.append(
            f"<figure><figcaption>{html.escape(name)}</figcaption>"
            f'<div role="img" aria-label="{label}">{svg}</div></figure>'
        )
    parts += [_html_table(table) for table in tables]
    page = _PAGE.replace("{title}", html.escape(title)).replace("{body}", "\n".join(parts))
    with atomic_file(path) as temporary:
        temporary.write_text(page, "utf-8")


def model_card(result: EvaluationResult, config: Mapping[str, Any]) -> str:
    """The README of a model folder, in Markdown."""
    fusion = config["fusion"]["form"] if config["fusion"] else "none, one modality"
    encoders = "; ".join(f"{name} encoder: `{value}`" for name, value in config["encoders"].items())
    source = Path(str(config["data"].get("source", "unknown"))).name
    scores = "\n".join(table.to_markdown() for table in tables_of(result))
    return f"""# An artaffect model

Which of nine emotions an artwork evokes, from an image, a caption or both, for readers of these
cultures: {", ".join(config["cultures"])}.

- {encoders[:1].upper()}{encoders[1:]}; combination: {fusion}.
- Trained on: `{source}`, {config["rows"]["train"]:,} annotations.
- artaffect {config["version"]}

```python
from artaffect import PredictionInput, load_predictor

predictor = load_predictor("path/to/this/folder")
prediction = predictor.predict([PredictionInput(caption="A storm tears at the mast.")])[0]
for reading in prediction.readings:
    print(reading.culture, reading.emotions.top)
```

## Scores

{protocol_line(result)}

{scores}

## Limits

The model repeats what its annotators said, with their biases. A culture here is the public that wrote
the captions of one language in the training data, no more. It says what readers report to feel; it does
not read the feelings of any person.
"""


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
figure { margin: 2rem 0; }
figcaption, caption { font-weight: 600; text-align: left; padding: .4rem 0; }
figure svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th[scope=row], thead th:first-child { text-align: left; }
thead th { border-bottom: 2px solid #666; }
@media print { body { max-width: none; margin: 0; } figure, .scroll { break-inside: avoid; } }
</style>
</head>
<body>
{body}
</body>
</html>
"""
