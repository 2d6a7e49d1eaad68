"""Logs and metrics. No caption, image or key is ever written to either."""

import json
import logging
import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TextIO

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

LOGGER = logging.getLogger("artaffect.server")
_REMEMBERED = 1_000
"""Lines of which repetitions are counted at the same time."""


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON, with the fields passed as ``extra={"fields": ...}``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class CountingHandler(logging.StreamHandler[TextIO]):
    """Writes a line that repeats once per interval, with how often it came since."""

    def __init__(self, stream: TextIO, interval: float = 10.0) -> None:
        """Create a handler that writes the same line at most every ``interval`` seconds."""
        super().__init__(stream)
        self.interval = interval
        self._written: dict[tuple[object, ...], _Repetition] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless the same one was written a short time ago."""
        self._write_repeated(record.created)
        if hasattr(record, "fields"):  # it differs from every other one, for example in its id
            super().emit(record)
            return
        key = (record.name, record.levelno, record.getMessage(), str((record.exc_info or [""])[0]))
        if key in self._written:
            self._written[key].count += 1
            return
        if len(self._written) < _REMEMBERED:
            self._written[key] = _Repetition(record)
        super().emit(record)

    def close(self) -> None:
        """Write how often the last lines repeated."""
        self._write_repeated(math.inf)
        super().close()

    def _write_repeated(self, now: float) -> None:
        for key, line in list(self._written.items()):
            if now - line.record.created < self.interval:
                continue
            del self._written[key]
            if line.count:
                again = logging.makeLogRecord({**vars(line.record), "exc_info": None})
                again.fields = {"repeated": line.count}
                super().emit(again)


@dataclass
class _Repetition:
    """A line that was written, and how often it came again."""

    record: logging.LogRecord
    count: int = 0


def log_to_stderr() -> None:
    """Write the log of the whole process to standard error: our own lines and others' warnings."""
    handler = CountingHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)  # a warning may quote a file, and would be no JSON
    library = logging.getLogger("artaffect")  # the command line prints its messages as plain text
    library.handlers.clear()
    library.propagate = True
    for name in (LOGGER.name, "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    # it quotes form data that it cannot parse; the client gets a problem instead
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class Metrics:
    """Prometheus metrics, with one registry per app so that two apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter, histogram = (
            partial(Counter, registry=registry),
            partial(Histogram, registry=registry),
        )
        self.requests = counter(
            "artaffect_requests", "HTTP requests, by path and status.", ["path", "status"]
        )
        self.request_duration = histogram(
            "artaffect_request_duration_seconds",
            "Time from the request headers to the end of the response, in seconds.",
            ["path"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.batch_size = histogram(
            "artaffect_batch_size",
            "Artworks in one batch of the model.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self.inference_duration = histogram(
            "artaffect_inference_duration_seconds", "Inference time of one batch, in seconds."
        )
        self.explanations = counter(
            "artaffect_explanations", "Explanations computed, one per artwork and culture."
        )
        self.queue_depth = Gauge(
            "artaffect_queue_depth",
            "Artworks that are waiting or being processed.",
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
