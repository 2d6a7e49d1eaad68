"""How much the service takes, of one request and at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceLimits:
    """Every bound of the service; past each of them it answers with a problem, and stays up."""

    upload_bytes: int = 32 * 2**20
    """Of a request's body."""
    pixels: int = 50_000_000
    """Of a picture: width times height, read from its header before it is decoded."""
    caption_characters: int = 2_000
    """Of a caption."""
    cultures: int = 64
    """Asked for in one request."""
    explained_cultures: int = 8
    """Whose answers one request may have explained."""
    batch_items: int = 64
    """Artworks of one request to ``/v1/predict/batch``."""
    seconds: float = 30.0
    """For a request to arrive and to be answered."""
    places: int = 256
    """Artworks that wait or are being answered."""
    explanations: int = 8
    """Explanations that wait or are being made."""
    batch: int = 32
    """Artworks that the model answers together; 1: each alone."""
    wait_seconds: float = 0.005
    """How long the first of a batch waits for others, and only while others are on their way."""
