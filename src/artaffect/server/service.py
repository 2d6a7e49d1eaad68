"""What the service does with an artwork once the request has been parsed."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, TypeVar

from PIL import Image

from artaffect.data.cost import SCANS, DecodingLimits
from artaffect.data.decoders import Decoders, Decoding
from artaffect.data.preprocessing import DecodedSquare
from artaffect.prediction.predictor import ModelPredictor, PredictionInput, PreparedInput
from artaffect.prediction.predictor import Prediction as ModelPrediction
from artaffect.reports.palette import label_colours
from artaffect.server.batching import ConcurrencyLimiter, DynamicBatcher, run_in
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import ProblemError
from artaffect.server.schemas import EmotionInfo, LabelColour, ModelInfo, Prediction
from artaffect.server.telemetry import Metrics

T = TypeVar("T")
_PREVIEW_SIDE = 1024
_DECODERS = 8
"""The most processes that decode images; a model is slower than these together."""


@dataclass(frozen=True)
class InputReader:
    """Reads an artwork."""

    read: Callable[[], PredictionInput]
    """It is called in a worker thread, so that few images are in memory at once."""
    has_image: bool = False
    """Whether it waits for a process that decodes; captions never wait for images."""


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
        cores = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(cores, "prepare")
        self.decoders = Decoders(
            DecodingLimits(
                pixels=limits.pixels,
                scanned_pixels=SCANS * limits.pixels,
                memory=limits.decode_bytes,
                seconds=limits.decode_seconds,
            ),
            min(cores, _DECODERS),
        )
        self._decoding_threads = ThreadPoolExecutor(self.decoders.count, "decode")

    def warm_up(self) -> None:
        """Predict once, so that the first request does not wait for anything that loads lazily."""
        self.decoders.start()
        self.batcher.run_at_once(self._warm_up_model)

    def _warm_up_model(self) -> None:
        self.predictor.warm()
        grey = Image.new("RGB", (64, 64), "grey")
        self.predictor.predict(image=grey, caption="grey")
        if self.explainer is not None:
            cultures = self.predictor.description.predicted_cultures[:1]
            self.explainer.explain(PredictionInput(grey, "grey", cultures=cultures))

    async def predict(self, reader: InputReader) -> Prediction:
        """Predict for one artwork."""
        with self.batcher.expecting(1):
            prepared = await self._with_reader(self._prepare, reader)
        (prediction,) = await self.batcher.predict([prepared])
        if isinstance(prediction, Exception):
            raise prediction
        return Prediction.model_validate(prediction.to_json())

    async def predict_each(
        self, readers: Sequence[InputReader]
    ) -> list[ModelPrediction | Exception]:
        """Predict for several artworks; an artwork that fails does not affect the others."""
        with self.batcher.expecting(1):
            tasks = (self._with_reader(self._prepare, reader) for reader in readers)
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
        return await self._decode(self.decoders.preview, data, _PREVIEW_SIDE)

    async def explain(self, reader: InputReader, check: bool = False) -> Prediction:
        """Predict for one artwork, with an explanation for each culture.

        Args:
            check: also put each explanation to the deletion test, which takes seconds.

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
            item = await self._with_reader(self._read, reader)
            default = self.predictor.description.predicted_cultures
            cultures = default if item.cultures is None else item.cultures
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
                    explanation = await self.batcher.run_exclusively(
                        self.explainer.explain, single, None, check and "deletion"
                    )
                    explained += explanation.by_culture
            self.metrics.explanations.inc(len(explained))
            return await self.in_thread(self._explained_response, explained, item)

    def describe(self) -> ModelInfo:
        """What a client needs to know to send requests."""
        model = self.predictor.description
        colours = label_colours(model.labels)
        return ModelInfo(
            name=self.predictor.folder.name if self.predictor.folder else "model",
            engine="onnx" if self.predictor.engine == "onnx" else "torch",
            explains=self.explainer is not None,
            prediction_sets=model.conformal is not None,
            modalities=list(model.modalities),
            cultures=list(model.cultures),
            languages=list(model.languages),
            emotions=[
                EmotionInfo(
                    name=label,
                    sentiment=sentiment,
                    names=model.labels.names_of(label),
                    colour=LabelColour(**colours[label].to_json()),
                )
                for label, sentiment in zip(model.labels, model.labels.sentiments, strict=True)
            ],
            synthetic=model.synthetic,
            caveat=model.caveat,
            limits=self.limits,
        )

    def close(self) -> None:
        """Stop the processes that decode, whatever they do, and the worker threads."""
        self.decoders.close()
        for threads in (self._threads, self._decoding_threads):
            threads.shutdown(wait=True, cancel_futures=True)

    async def _with_reader(
        self, work: Callable[[InputReader, Decoding], T], reader: InputReader
    ) -> T:
        if reader.has_image:
            return await self._decode(work, reader)
        return await self.in_thread(work, reader, Decoding())

    async def _decode(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function that decodes; if the request ends before, its decoding ends too."""
        decoding = Decoding()
        try:
            return await run_in(self._decoding_threads, work, *arguments, decoding)
        except asyncio.CancelledError:
            self.decoders.stop(decoding)
            raise

    def _prepare(self, reader: InputReader, decoding: Decoding) -> PreparedInput:
        return self.predictor.prepare([self._read(reader, decoding)])[0]

    def _read(self, reader: InputReader, decoding: Decoding) -> PredictionInput:
        """An artwork within the limits; its image is decoded, if the model uses images."""
        item, limits = reader.read(), self.limits
        limits.check(item)
        preprocessing = self.predictor.description.image
        if not isinstance(item.image, bytes):
            return item
        if preprocessing is None:
            self.decoders.measure(item.image, decoding)
            return item
        square = self.decoders.square(preprocessing, item.image, preprocessing.crop, decoding)
        return replace(item, image=square)

    def _explained_response(self, explained: Sequence[Any], item: PredictionInput) -> Prediction:
        """Predictions with their explanations, each with its heatmap as a PNG."""
        from artaffect.explain.overlay import overlay_png

        preprocessing, size = self.predictor.description.image, None
        if isinstance(item.image, DecodedSquare):
            size = item.image.size
        predictions = []
        for culture in explained:
            details, heatmap = culture.to_json(), None
            if culture.heatmap is not None and preprocessing is not None and size is not None:
                png = b64encode(overlay_png(culture.heatmap, size, preprocessing))
                heatmap = "data:image/png;base64," + png.decode("ascii")
            explanation = {k: details[k] for k in ("contributions", "words", "caption_truncated")}
            explanation |= {"emotion": details["explained_emotion"], "heatmap": heatmap}
            if culture.checks:
                explanation["checks"] = {
                    name: {"held": c.held, "deletion_auc_gap": c.deletion.deletion_auc_gap}
                    for name, c in culture.checks.items()
                }
            predictions.append({**culture.prediction.to_json(), "explanation": explanation})
        return Prediction.model_validate({"predictions": predictions})

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function without holding up the event loop."""
        return await run_in(self._threads, work, *arguments)

    def _record_batch(self, size: int, seconds: float) -> None:
        self.metrics.batch_size.observe(size)
        self.metrics.inference_duration.observe(seconds)
