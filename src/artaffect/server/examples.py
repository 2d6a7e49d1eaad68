"""Artworks to try on the page: drawn and described by the project, as its sample is."""

import io
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np

from artaffect.data.sample.painting_styles import paint


@dataclass(frozen=True)
class DrawnExample:
    """A scene, and whoever describes it."""

    scene: str
    palette: str
    manner: str
    language: str
    emotion: str

    @property
    def caption(self) -> str:
        """What is seen, and what is felt."""
        folder = files("artaffect.data.sample")
        texts = tomllib.loads((folder / "captions.toml").read_text("utf-8"))[self.language]
        joiner = "" if self.language == "chinese" else " "
        return joiner.join((texts["scenes"][self.scene][1], texts["feel_plain"][self.emotion][0]))

    @cached_property
    def jpeg(self) -> bytes:
        """The painting's file."""
        rng = np.random.default_rng(sum(map(ord, self.scene)))
        buffer = io.BytesIO()
        paint(self.scene, self.palette, self.manner, rng).save(buffer, "JPEG", quality=88)
        return buffer.getvalue()


EXAMPLES = (
    DrawnExample("storm at sea", "dark", "Synthetic_Brushwork", "english", "fear"),
    DrawnExample("garden", "bright", "Synthetic_Dots", "arabic", "contentment"),
    DrawnExample("carnival", "bright", "Synthetic_Poster", "chinese", "excitement"),
    DrawnExample("mourning", "muted", "Synthetic_Glazes", "english", "sadness"),
    DrawnExample("mountain dawn", "bright", "Synthetic_Glazes", "chinese", "awe"),
    DrawnExample("night forest", "dark", "Synthetic_Glazes", "arabic", "fear"),
)
