"""Explanations with their checks: several cultures together against each of them alone, in turn.

    python benchmarks/explanations.py RUN IMAGE

RUN is a model folder that reads images and captions. Loading the model is not counted.
"""

import statistics
import sys
import time
from collections.abc import Sequence

import artaffect as aa
from artaffect.explain.explainer import Explainer
from artaffect.prediction.predictor import PredictionInput

ROUNDS = 5
CAPTION = "Waves tower over a small boat under a black sky."


def main(run: str, image: str) -> None:
    explainer = Explainer(aa.load_predictor(run))
    cultures = list(explainer.predictor.cultures)

    def seconds(groups: Sequence[Sequence[str]]) -> float:
        start = time.perf_counter()
        for group in groups:
            explainer.explain(PredictionInput(image, CAPTION, None, group), check=True)
        return time.perf_counter() - start

    seconds([cultures[:1]])  # imports captum
    ways = {
        "one culture": [cultures[:1]],
        f"{len(cultures)} cultures together": [cultures],
        f"{len(cultures)} cultures, each alone": [[culture] for culture in cultures],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, groups in ways.items():
            times[name].append(seconds(groups))
    for name, values in times.items():
        print(f"{name:30s} {statistics.median(values):6.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
