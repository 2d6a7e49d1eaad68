"""The main job from nothing: sample data, import, training, report, and a prediction."""

from pathlib import Path

from artaffect import api
from artaffect.cli.show import print_prediction
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.sample.generative_model import best_scores
from artaffect.data.sample.write import MARKER, write_new_artwork
from artaffect.errors import OutputExistsError
from artaffect.reports.evaluation import print_result, print_tables
from artaffect.reports.tables import TextTable
from artaffect.runtime import Terminal, say


def run_demo(out: Path, artworks: int, cache: Path | None) -> None:
    """Do everything that the tutorial does by hand, in one go, under ``out``."""
    if any(out.glob("[!.]*")) and not (out / "data" / MARKER).is_file():
        raise OutputExistsError(f"{out} exists and holds no demo: choose another name with --out")
    say("1/5 generating artworks and captions (synthetic data)")
    csv = api.write_sample(out / "data", artworks, overwrite=True)

    say("2/5 importing them as if they were ArtELingo")
    table = read_artelingo(csv, out / "data" / "wikiart")
    table.save(out / "annotations.parquet")
    if table.report is not None:
        say(*table.report.summary().split("\n"))

    say("3/5 training image, caption, and their linear combination")
    run = out / "run"
    predictor = api.train(table, run, cache=cache, overwrite=True)

    say("4/5 scoring the test split: artworks that training never saw")
    print_result(api.evaluate(run, table, out=run / "test", cache=cache))
    print_tables([best_possible()], Terminal(stderr=True))

    say("", "5/5 predicting for a new artwork with a caption, in each culture")
    image = write_new_artwork(out / "new-painting.jpg")
    caption = "Waves tower over a small boat under a black sky."
    say(f'{image}: "{caption}"')
    print_prediction(predictor.predict(image, caption))
    say(f"report: {run / 'test' / 'report.html'}")
    say(f"try: artaffect predict {run} --image {image} --culture arabic")
    say('without training: artaffect predict starter --caption "These dark waves frighten me."')


def best_possible() -> TextTable:
    """The best scores that any predictor can reach on the sample data, given what it sees."""
    return TextTable(
        "Best possible on this synthetic data",
        ["seen", "accuracy", "log-loss ↓"],
        [[seen, f"{s.accuracy:.3f}", f"{s.log_loss:.3f}"] for seen, s in best_scores().items()],
    )
