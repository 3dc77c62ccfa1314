"""Every policy that was ever in force, kept by its digest, so that an auditor can see who could do what and when."""

from __future__ import annotations

from pathlib import Path

from server.files import Files, write_durably


class KeptPolicies:
    """A folder of files `<digest>.json`; the SHA-256 of a file's bytes is its name."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._kept = ""

    def keep(self, digest: str, document: str) -> None:
        """Keep a policy, durably; again is free.

        Raises:
            OSError: it can't be written.
        """
        if digest == self._kept:
            return
        self._files.make_folder(self._folder)
        name = f"{digest}.json"
        if name not in self._files.list(self._folder):
            write_durably(self._files, self._folder / name, document.encode())
        self._kept = digest
