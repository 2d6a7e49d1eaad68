"""What the service counts, for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)


class Metrics:
    """One registry for each app, so that two of them in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "artaffect_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "artaffect_request_seconds",
            "Time from a request's head to the end of its answer, in seconds.",
            ["path"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.batch = Histogram(
            "artaffect_batch_artworks",
            "Artworks that the model answered together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.model_seconds = Histogram(
            "artaffect_model_seconds",
            "Time the model took for one batch, in seconds.",
            registry=self.registry,
        )
        self.explanations = Counter(
            "artaffect_explanations", "Readings explained.", registry=self.registry
        )
        self.places = Gauge(
            "artaffect_queue_depth",
            "Artworks that wait or are being answered.",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
