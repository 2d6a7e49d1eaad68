"""What the service does with an artwork once the request has been parsed."""

import asyncio
import io
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, TypeVar

from PIL import Image

from artaffect.data.preprocessing import image_size, open_image
from artaffect.errors import ImageError
from artaffect.labels import EMOTION_NAMES, EMOTIONS
from artaffect.prediction.predictor import ModelPredictor, PredictionInput, PreparedInput
from artaffect.prediction.predictor import Prediction as ModelPrediction
from artaffect.server.batching import ConcurrencyLimiter, DynamicBatcher, run_in
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import ProblemError
from artaffect.server.schemas import EmotionInfo, ModelInfo, Prediction
from artaffect.server.telemetry import Metrics

T = TypeVar("T")
_PREVIEW_SIDE = 1024
InputReader = Callable[[], PredictionInput]
"""Reads an artwork. It is called in a worker thread, so that few images are in memory at once."""


class Service:
    """A model with its queue, its limits and its metrics."""

    def __init__(self, predictor: ModelPredictor, limits: ServiceLimits) -> None:
        self.predictor, self.limits = predictor, limits
        self.metrics = Metrics()
        self.queue = ConcurrencyLimiter(limits.queue_size, self.metrics.queue_depth.set)
        self.explanation_queue = ConcurrencyLimiter(limits.explanation_queue_size)
        self._explanation_lock = asyncio.Lock()
        self.batcher = DynamicBatcher(
            predictor.answer, limits.batch_size, limits.batch_wait_seconds, self._record_batch
        )
        self.explainer: Any = None
        """None if the model does not support explanations."""
        if predictor.engine == "torch" and find_spec("captum"):
            from artaffect.explain.explainer import Explainer

            self.explainer = Explainer(predictor)
        self._threads = ThreadPoolExecutor(os.cpu_count(), "prepare")

    def warm_up(self) -> None:
        """Predict once, so that the first request does not wait for anything that loads lazily."""
        self.predictor.warm()
        grey = Image.new("RGB", (64, 64), "grey")
        self.predictor.predict(image=grey, caption="grey")

    async def predict(self, read: InputReader) -> Prediction:
        """Predict for one artwork."""
        with self.batcher.expecting(1):
            prepared = await self.in_thread(self._prepare, read)
        (prediction,) = await self.batcher.predict([prepared])
        if isinstance(prediction, Exception):
            raise prediction
        return Prediction.model_validate(prediction.to_json())

    async def predict_each(
        self, readers: Sequence[InputReader]
    ) -> list[ModelPrediction | Exception]:
        """Predict for several artworks; an artwork that fails does not affect the others."""
        with self.batcher.expecting(1):
            tasks = (self.in_thread(self._prepare, read) for read in readers)
            prepared = await asyncio.gather(*tasks, return_exceptions=True)
        usable = [item for item in prepared if isinstance(item, PreparedInput)]
        predictions = iter(await self.batcher.predict(usable))
        results: list[ModelPrediction | Exception] = []
        for item in prepared:
            result = next(predictions) if isinstance(item, PreparedInput) else item
            if not isinstance(result, ModelPrediction | Exception):
                raise result
            results.append(result)
        return results

    async def preview(self, data: bytes) -> bytes:
        """An image as an upright JPEG that every browser can show."""

        def draw() -> bytes:
            self._read(lambda: PredictionInput(data))
            image = open_image(data, smallest_side=_PREVIEW_SIDE // 2)
            image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=88)
            return buffer.getvalue()

        return await self.in_thread(draw)

    async def explain(self, read: InputReader) -> Prediction:
        """Predict for one artwork, with an explanation for each culture.

        Raises:
            ProblemError: the model does not support explanations, or too many are waiting.
        """
        if self.explainer is None:
            raise ProblemError(
                "no-explanations",
                "explanations need gradients, which an exported model does not have, and the extra "
                "`explain`: serve the original model folder, or send the request without explain",
            )
        with self.explanation_queue.acquire(1):
            item = await self.in_thread(self._read, read)
            cultures = self.predictor.cultures if item.cultures is None else item.cultures
            if len(cultures) > self.limits.explained_cultures:
                raise ProblemError(
                    "invalid",
                    f"at most {self.limits.explained_cultures} cultures can be explained in one "
                    f"request, got {len(cultures)}: name the cultures to explain",
                )
            explained = []
            async with self._explanation_lock:
                for culture in cultures:  # one at a time, so that predictions can run in between
                    single = replace(item, cultures=[culture])
                    explanation = await self.batcher.run_exclusively(self.explainer.explain, single)
                    explained += explanation.by_culture
            self.metrics.explanations.inc(len(explained))
            return await self.in_thread(self._explained_response, explained, item)

    def describe(self) -> ModelInfo:
        """What a client needs to know to send requests."""
        model = self.predictor.description
        return ModelInfo(
            name=self.predictor.folder.name if self.predictor.folder else "model",
            engine="onnx" if self.predictor.engine == "onnx" else "torch",
            explains=self.explainer is not None,
            modalities=list(model.modalities),
            cultures=list(model.cultures),
            languages=list(model.languages),
            emotions=[
                EmotionInfo(
                    name=emotion,
                    sentiment=emotion.sentiment,
                    names={language: names[emotion] for language, names in EMOTION_NAMES.items()},
                )
                for emotion in EMOTIONS
            ],
            synthetic=model.synthetic,
            limits=self.limits,
        )

    def close(self) -> None:
        """Stop the worker threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, read: InputReader) -> PreparedInput:
        return self.predictor.prepare([self._read(read)])[0]

    def _read(self, read: InputReader) -> PredictionInput:
        item, limits = read(), self.limits
        limits.check(item)
        if isinstance(item.image, bytes):
            width, height = image_size(item.image)
            if width * height > limits.pixels:
                raise ImageError(
                    f"the image has {width:,} x {height:,} pixels; at most {limits.pixels:,} are "
                    "allowed"
                )
        return item

    def _explained_response(self, explained: Sequence[Any], item: PredictionInput) -> Prediction:
        """Predictions with their explanations, each with its heatmap as a PNG."""
        from artaffect.explain.overlay import overlay_png

        preprocessing, size = self.predictor.description.image, None
        if item.image is not None and preprocessing is not None:
            size = open_image(item.image, smallest_side=256).size  # only its proportions matter
        predictions = []
        for culture in explained:
            details, heatmap = culture.to_json(), None
            if culture.heatmap is not None and preprocessing is not None and size is not None:
                png = b64encode(overlay_png(culture.heatmap, size, preprocessing))
                heatmap = "data:image/png;base64," + png.decode("ascii")
            explanation = {k: details[k] for k in ("contributions", "words", "caption_truncated")}
            explanation |= {"emotion": details["explained_emotion"], "heatmap": heatmap}
            predictions.append({**culture.prediction.to_json(), "explanation": explanation})
        return Prediction.model_validate({"predictions": predictions})

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function without holding up the event loop."""
        return await run_in(self._threads, work, *arguments)

    def _record_batch(self, size: int, seconds: float) -> None:
        self.metrics.batch_size.observe(size)
        self.metrics.inference_duration.observe(seconds)
