"""The main job from nothing: sample data, import, training, report, and a prediction."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from artaffect.cli.show import print_prediction
from artaffect.config import CompactConfig
from artaffect.data.readers.artelingo import describe, read_artelingo
from artaffect.data.sample.generative_model import best_scores
from artaffect.data.sample.write import write_new_painting, write_sample
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import load_predictor
from artaffect.recipes import load_recipe
from artaffect.report.evaluation import print_result, print_tables, save_metrics, save_report
from artaffect.report.tables import TextTable
from artaffect.runtime import say
from artaffect.training.run import train_run


def run_demo(out: Path, paintings: int, cache: Path | None) -> None:
    """Do everything that the tutorial does by hand, in one go, under ``out``."""
    say("1/5 drawing paintings and writing captions (synthetic data)")
    data = out / "data"
    csv = write_sample(data, paintings, seed=0, overwrite=True)

    say("2/5 importing them as if they were ArtELingo")
    table, report = read_artelingo(csv, data / "wikiart")
    table = replace(table, provenance={**table.provenance, "synthetic": True})
    table.save(out / "annotations.parquet")
    describe(report)

    say("3/5 training: image, caption, and their linear combination")
    run = out / "run"
    train_run(table, load_recipe("compact", CompactConfig), run, cache, overwrite=True)

    say("4/5 scoring on paintings that training never saw (test split)")
    result = evaluate_run(run, table, "test", cache)
    save_metrics(result, run / "test" / "metrics.json")
    title = "artaffect demo: test split (synthetic data)"
    save_report(result, run / "test" / "report.html", title)
    print_result(result)
    print_tables([best_possible()], Console(stderr=True))

    say("\n5/5 a new painting, with a caption, for each culture")
    image = write_new_painting(out / "new-painting.jpg")
    caption = "Waves tower over a small boat under a black sky."
    say(f'{image}: "{caption}"')
    print_prediction(load_predictor(run).predict(image, caption))
    say(f"report: {run / 'test' / 'report.html'}")
    say(f"try: artaffect predict {run} --image {image} --culture arabic")


def best_possible() -> TextTable:
    """What no predictor can beat on the sample data, given what it sees."""
    return TextTable(
        "Best possible on this synthetic data",
        ["seen", "accuracy", "log-loss ↓"],
        [[seen, f"{s.accuracy:.3f}", f"{s.log_loss:.3f}"] for seen, s in best_scores().items()],
    )
