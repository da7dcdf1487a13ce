"""What a run of the preparation did, for the command and for report.json."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssgan_core.preparation.entry import Skip


@dataclass(frozen=True)
class SkippedFace:
    """A photo, or one face of it, that did not become an entry.

    Attributes:
        photo: its path inside the photo folder, as `photos.Photo.source`.
        path: its file.
        skip: why.
    """

    photo: str
    path: Path
    skip: Skip

    @property
    def kind(self) -> str:
        """The reason without its details, which are in brackets or after a colon."""
        return re.split(r" \(|: ", self.skip.reason, maxsplit=1)[0]

    @property
    def name(self) -> str:
        """The photo, and which of its faces."""
        return self.photo if self.skip.face is None else f"{self.photo}, face {self.skip.face}"


@dataclass
class Report:
    """What a run did.

    Attributes:
        photos: how many the folder holds.
        handled: how many of them this run looked at.
        written: new entries.
        already: entries that an earlier run had written.
        duplicates: entries that repeat another one, marked in the column `duplicate_of`.
        failed: photos without any entry, those left out that only the filters turned away.
        skipped: photos and faces without an entry, by name, from this run and earlier ones.
        seconds: of this run.
    """

    photos: int = 0
    handled: int = 0
    written: int = 0
    already: int = 0
    duplicates: int = 0
    failed: int = 0
    skipped: list[SkippedFace] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reasons(self) -> dict[str, int]:
        """How often each kind of reason occurs, the commonest first."""
        return dict(Counter(row.kind for row in self.skipped).most_common())

    def to_json(self) -> dict[str, Any]:
        """Plain lists and dictionaries for report.json."""
        return {
            "photos": self.photos,
            "handled": self.handled,
            "written": self.written,
            "already": self.already,
            "duplicates": self.duplicates,
            "failed": self.failed,
            "filtered": sum(row.skip.filtered for row in self.skipped),
            "reasons": self.reasons,
            "seconds": round(self.seconds, 2),
            "photos_per_second": round(self.handled / self.seconds, 2) if self.seconds > 0 else 0.0,
            "skipped": [
                {
                    "photo": row.photo,
                    **({} if row.skip.face is None else {"face": row.skip.face}),
                    "reason": row.skip.reason,
                    **({"filtered": True} if row.skip.filtered else {}),
                    **({} if row.skip.box is None else {"face_box": row.skip.box}),
                }
                for row in self.skipped
            ],
        }
