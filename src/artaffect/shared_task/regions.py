"""The regions into which the organisers of ArtEmotion-28 sort its 28 languages."""

REGIONS: dict[str, tuple[str, ...]] = {
    "west africa": ("hausa", "igbo", "yoruba"),
    "east africa": ("swahili", "kinyarwanda", "emakhuwa"),
    "south africa": ("isizulu", "isixhosa", "setswana", "isindebele"),
    "north africa": ("darija",),
    "middle east / west asia": ("arabic", "turkish"),
    "south asia": ("hindi", "tamil", "urdu"),
    "central asia": ("kazakh", "kyrgyz", "uzbek"),
    "southeast asia": ("burmese", "indonesian", "malay", "tagalog", "thai", "vietnamese"),
    "east asia": ("chinese", "korean"),
    "other": ("english",),
}
"""Region → languages, in lower case (README of the data release, 2026)."""

LANGUAGES = tuple(sorted(language for group in REGIONS.values() for language in group))


def region_of(language: str) -> str:
    """The region of a language; ``other`` for one that the task does not have."""
    name = language.strip().lower()
    return next((region for region, group in REGIONS.items() if name in group), "other")
