"""The limits of the service."""

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class ServiceLimits:
    """The limits of the service. A request that exceeds one is refused with a problem."""

    upload_bytes: int = 32 * 2**20
    """Size of a request body in bytes."""
    pixels: int = 50_000_000
    """Width times height of an image, read from its header before it is decoded."""
    decode_seconds: float = 10.0
    """Time to decode one image, in seconds."""
    decode_bytes: int = 768 * 2**20
    """Memory to decode images, of all that are decoded at the same time, in bytes; an image that needs
    less than 64 MiB is not counted."""
    caption_characters: int = 2_000
    """Characters of a caption."""
    cultures: int = 64
    """Cultures in one request."""
    explained_cultures: int = 8
    """Cultures in one request with explanations."""
    batch_items: int = 64
    """Artworks in one request to `/v1/predict/batch`."""
    timeout_seconds: float = 30.0
    """Time to receive a request and to start the response, in seconds."""
    queue_size: int = 256
    """Artworks that are waiting or being processed."""
    explanation_queue_size: int = 8
    """Explanations that are waiting or being computed."""
    batch_size: int = 32
    """Artworks in one batch of the model; 1 turns batching off."""
    batch_wait_seconds: float = 0.005
    """How long the first artwork of a batch waits for others, and only while others are arriving."""
