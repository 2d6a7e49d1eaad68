"""The main job from nothing: sample data, import, training, report, and a prediction."""

from pathlib import Path

from artaffect.cli.show import print_prediction
from artaffect.config import Recipe, load_recipe
from artaffect.data.readers.artelingo import describe, read_artelingo
from artaffect.data.sample.write import write_new_painting, write_sample
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import load_predictor
from artaffect.report.evaluation import print_result, save_metrics, save_report
from artaffect.runtime import say
from artaffect.training.run import train_run


def run_demo(out: Path, paintings: int, cache: Path | None) -> None:
    """Everything that the tutorial does by hand, in one go, under ``out``."""
    say("1/5 drawing paintings and writing captions (synthetic data)")
    data = out / "data"
    csv = write_sample(data, paintings, seed=0, overwrite=True)

    say("2/5 importing them as if they were ArtELingo")
    table, report = read_artelingo(csv, data / "wikiart")
    table.save(out / "annotations.parquet")
    describe(report)

    say("3/5 training: image, caption, and their linear combination")
    run = out / "run"
    train_run(table, load_recipe("compact", Recipe), run, cache, overwrite=True)

    say("4/5 scoring on paintings that training never saw (test split)")
    result = evaluate_run(run, table, "test", cache)
    save_metrics(result, run / "test" / "metrics.json")
    save_report(result, run / "test" / "report.html", "artaffect demo: test split")
    print_result(result)
    best = (data / "SYNTHETIC.md").read_text("utf-8").partition("## Best possible")[2]
    say("Best possible on this synthetic data" + best.partition("\n## ")[0].rstrip())

    say("\n5/5 a new painting, with a caption, for each public")
    picture = write_new_painting(out / "new-painting.jpg")
    caption = "Waves tower over a small boat under a black sky."
    say(f'{picture}: "{caption}"')
    print_prediction(load_predictor(run).predict(picture, caption))
    say(f"report: {run / 'test' / 'report.html'}")
    say(f"try: artaffect predict {run} --image {picture} --culture arabic")
