"""The limits of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from artaffect.errors import InputError

if TYPE_CHECKING:  # the command line reads the limits for its help, without numpy
    from artaffect.prediction.predictor import PredictionInput


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class ServiceLimits:
    """The limits of the service. A request that exceeds one is refused with a problem."""

    upload_bytes: int = 32 * 2**20
    """Size of a request body in bytes."""
    held_bytes: int = 512 * 2**20
    """Size of all request bodies that are held at the same time, in bytes."""
    pixels: int = 50_000_000
    """Width times height of an image, read from its header before it is decoded."""
    decode_seconds: float = 10.0
    """Time to decode one image, in seconds."""
    decode_bytes: int = 768 * 2**20
    """Memory to decode images, of all that are decoded at the same time, in bytes; an image that needs
    less than 64 MiB is not counted."""
    caption_characters: int = 2_000
    """Characters of a caption."""
    name_characters: int = 100
    """Characters of the name of a language, of a culture or of a form field."""
    cultures: int = 64
    """Cultures in one request."""
    explained_cultures: int = 8
    """Cultures in one request with explanations."""
    form_fields: int = 100
    """Fields of a form."""
    text_bytes: int = 256 * 2**10
    """Size of one text field of a form, and of a whole form without files, in bytes."""
    json_bytes: int = 4 * 2**20
    """Size of a JSON body without its images, in bytes."""
    json_values: int = 10_000
    """Members and list entries in a JSON body."""
    json_depth: int = 8
    """Levels of nesting in a JSON body."""
    batch_items: int = 64
    """Artworks in one request to `/v1/predict/batch`."""
    timeout_seconds: float = 30.0
    """Time to receive a request and to start the response, in seconds."""
    head_seconds: float = 10.0
    """Time to receive the head of a request, in seconds."""
    send_seconds: float = 30.0
    """Time in which a client must read a response, in seconds."""
    connections: int = 1_000
    """Open connections. A further one replaces the one that has been idle for the longest time."""
    peer_bodies: int = 64
    """Requests of one client address whose bodies are still arriving after a second."""
    queue_size: int = 256
    """Artworks that are waiting or being processed."""
    explanation_queue_size: int = 8
    """Explanations that are waiting or being computed."""
    batch_size: int = 32
    """Artworks in one batch of the model; 1 turns batching off."""
    batch_wait_seconds: float = 0.005
    """How long the first artwork of a batch waits for others, and only while others are arriving."""

    def check(self, item: PredictionInput) -> None:
        """Check the texts of a request.

        Raises:
            InputError: a text is too long, or there are too many cultures.
        """
        count = len(item.cultures or ())
        if count > self.cultures:
            raise InputError(
                f"the request names {count} cultures; at most {self.cultures} cultures are allowed"
            )
        texts = [("caption", item.caption, self.caption_characters)]
        texts += [("name of the language", item.language, self.name_characters)]
        texts += [("name of a culture", name, self.name_characters) for name in item.cultures or ()]
        for name, text, limit in texts:
            if len(text or "") > limit:
                raise InputError(
                    f"the {name} has {len(text or ''):,} characters; at most {limit:,} are allowed"
                )
