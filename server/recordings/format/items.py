"""What reading a recording gives, item by item, beside its events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """A place that could not be read; whatever follows it was looked for and is given where it was found."""

    position: int
    """Where in the recording, in bytes from its beginning: where what is wrong begins, or else where its part does."""
    part: int
    """The number of the part as it comes, from 1; 0 for what is outside any part."""
    reason: str
    """What is wrong, in plain words."""
    unpacked: int | None = None
    """Where among the part's unpacked bytes the record begins that was not read; None if it isn't about those."""
    doubtful: int = 0
    """How many events of this part were given before its check failed, so that their content is doubtful."""


@dataclass(frozen=True, slots=True)
class EncryptedPart:
    """A part that only its owner can read; it was passed over."""

    position: int
    part: int
    bytes: int
    """The size of what is encrypted."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The last item: what there was."""

    bytes: int
    """The recording's size."""
    parts: int
    """Parts, with empty, encrypted and damaged ones."""
    encrypted_parts: int
    events: int
    """Events given."""
    skipped: int
    """Events passed over because their index was not above the one before: doubled, or out of order."""
    missing: int
    """Indexes that no event had, below the highest given."""
    damages: int
    """Damages, told or only counted."""
    doubtful: int
    """Events given that a check which failed afterwards has made doubtful."""

    @property
    def whole(self) -> bool:
        """Whether everything there could be read, and no event is missing."""
        return not (self.encrypted_parts or self.skipped or self.missing or self.damages)
