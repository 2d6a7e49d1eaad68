"""What the service does with an artwork, once a request has been read."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any, TypeVar

from PIL import Image

from artaffect.data.preprocessing import image_size, open_image
from artaffect.errors import ImageError, InputError
from artaffect.labels import EMOTION_NAMES, EMOTIONS
from artaffect.prediction.predictor import ModelPredictor, PredictionInput, PreparedInput
from artaffect.server.batching import ConcurrencyLimiter, DynamicBatcher
from artaffect.server.limits import ServiceLimits
from artaffect.server.metrics import Metrics
from artaffect.server.problems import ProblemError

T = TypeVar("T")
Source = Callable[[], PredictionInput]
"""Reads an artwork; called in a thread of its own, so that few pictures are in memory at once."""


class Service:
    """A model, its queue, and what is counted."""

    def __init__(
        self, predictor: ModelPredictor, limits: ServiceLimits, key: str | None = None
    ) -> None:
        self.predictor, self.limits, self.key = predictor, limits, key
        self.metrics = Metrics()
        self.places = ConcurrencyLimiter(limits.places, self.metrics.places.set)
        self.explaining = ConcurrencyLimiter(limits.explanations)
        self._one_explanation = asyncio.Lock()
        self.gatherer = DynamicBatcher(
            predictor.answer, limits.batch, limits.wait_seconds, self._observe
        )
        self.explainer: Any = None
        """None where the model cannot explain."""
        if predictor.engine == "torch" and find_spec("captum"):
            from artaffect.explain.explainer import Explainer

            self.explainer = Explainer(predictor)
        self._threads = ThreadPoolExecutor(os.cpu_count(), "prepare")

    @property
    def ready(self) -> bool:
        """Whether it takes questions."""
        return self.gatherer.alive

    def warm(self) -> None:
        """Answer once, so that the first visitor does not wait for what is read late."""
        self.predictor.warm()
        grey = Image.new("RGB", (64, 64), "grey")
        self.predictor.predict(image=grey, caption="grey")

    async def predict(self, source: Source) -> dict[str, Any]:
        """One artwork's readings."""
        with self.gatherer.expecting(1):
            prepared = await self._threaded(lambda: self._prepare(source))
        return (await self.gatherer.ask([prepared]))[0].to_json()

    async def predict_each(self, sources: Sequence[Source]) -> list[dict[str, Any] | Exception]:
        """Each artwork's readings, or what was wrong with it; those on their own are not hurt."""
        with self.gatherer.expecting(1):
            work = (self._threaded(lambda s=s: self._prepare(s)) for s in sources)  # type: ignore[misc]
            prepared = await asyncio.gather(*work, return_exceptions=True)
        good = [item for item in prepared if isinstance(item, PreparedInput)]
        answers = iter(await self.gatherer.ask(good))
        found: list[dict[str, Any] | Exception] = []
        for item in prepared:
            if isinstance(item, PreparedInput):
                found.append(next(answers).to_json())
            elif isinstance(item, Exception):
                found.append(item)
            else:
                raise item
        return found

    async def explain(self, source: Source) -> dict[str, Any]:
        """One artwork's readings, each with its explanation.

        Raises:
            ProblemError: this model does not explain, or too many wait for that.
        """
        if self.explainer is None:
            raise ProblemError(
                "no-explanations",
                "explanations take gradients, which an exported model has not, and the extra explain: "
                "serve the folder that it was exported from, or leave out explain",
            )
        with self.explaining.hold(1):
            asked = await self._threaded(lambda: self._read(source))
            cultures = self.predictor.cultures if asked.cultures is None else asked.cultures
            if len(cultures) > self.limits.explained_cultures:
                raise ProblemError(
                    "invalid",
                    f"explain at most {self.limits.explained_cultures} cultures at once: name them",
                )
            readings = []
            async with self._one_explanation:
                for culture in cultures:  # answers that take no time get their turn in between
                    one = replace(asked, cultures=[culture])
                    found = await self.gatherer.alone(lambda one=one: self.explainer.explain(one))  # type: ignore[misc]
                    readings += found.by_culture
            self.metrics.explanations.inc(len(readings))
            return await self._threaded(lambda: {"predictions": self._drawn(readings, asked)})

    def describe(self) -> dict[str, Any]:
        """What has to be known to ask."""
        model, limits = self.predictor.description, self.limits
        return {
            "name": self.predictor.folder.name if self.predictor.folder else "model",
            "engine": self.predictor.engine,
            "explains": self.explainer is not None,
            "modalities": list(model.modalities),
            "cultures": list(model.cultures),
            "languages": list(model.languages),
            "emotions": [
                {
                    "name": str(emotion),
                    "sentiment": str(emotion.sentiment),
                    "called": {tongue: names[emotion] for tongue, names in EMOTION_NAMES.items()},
                }
                for emotion in EMOTIONS
            ],
            "limits": asdict(limits),
        }

    def close(self) -> None:
        """Stop the threads that prepare."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, source: Source) -> PreparedInput:
        return self.predictor.prepare([self._read(source)])[0]

    def _read(self, source: Source) -> PredictionInput:
        asked = source()
        limits = self.limits
        if isinstance(asked.image, bytes):
            width, height = image_size(asked.image)
            if width * height > limits.pixels:
                raise ImageError(
                    f"the picture: {width:,} x {height:,} pixels is more than the allowed "
                    f"{limits.pixels:,}"
                )
        if asked.caption is not None and len(asked.caption) > limits.caption_characters:
            raise InputError(
                f"the caption has {len(asked.caption):,} characters, more than the allowed "
                f"{limits.caption_characters:,}"
            )
        if asked.cultures is not None and len(asked.cultures) > limits.cultures:
            raise InputError(f"more than {limits.cultures} cultures are asked for")
        return asked

    def _drawn(self, readings: Sequence[Any], asked: PredictionInput) -> list[dict[str, Any]]:
        """Readings with their explanations, and the heatmap of each as a picture."""
        from artaffect.explain.overlay import overlay_png

        rules, size = self.predictor.description.image, None
        if asked.image is not None and rules is not None:
            size = open_image(asked.image, smallest_side=256).size  # its proportions are enough
        found = []
        for one in readings:
            said = one.to_json()
            heatmap = None
            if one.heatmap is not None and rules is not None and size is not None:
                png = b64encode(overlay_png(one.heatmap, size, rules))
                heatmap = "data:image/png;base64," + png.decode("ascii")
            explanation = {
                "emotion": said.pop("explained"),
                "parts": said.pop("parts"),
                "words": said.pop("words"),
                "caption_cut": said.pop("caption_cut"),
                "heatmap": heatmap,
            }
            said.pop("checks")
            found.append({**said, "explanation": explanation})
        return found

    async def _threaded(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _observe(self, count: int, seconds: float) -> None:
        self.metrics.batch.observe(count)
        self.metrics.model_seconds.observe(seconds)
