"""Puts the doctor's checks of a data directory together, with what may read it and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from server.config.loading import read_sources
from server.data_directory import DataDirectory
from server.doctor.checks import LOCAL_CHECKS
from server.doctor.data_at_hand import DataAtHand
from server.doctor.reading_files import ReadingFiles
from server.doctor.report import Examination, examine
from server.state.examining import examining
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage


def examine_data(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    names: Collection[str],
    *,
    deep: bool,
    read: Callable[[int], None],
) -> Iterator[Examination]:
    """Make the checks of these names on the data directory that flags and environment tell.

    Args:
        flags: As `read_sources` takes them.
        environ: Likewise.
        names: Of LOCAL_CHECKS.
        deep: Whether every object and recording is read.
        read: Told the bytes of what was read.
    """
    # What can be used of a wrong configuration names the directory all the same.
    sources = read_sources(flags, environ)
    config = sources.config
    directory, files = DataDirectory(config.data_dir), ReadingFiles()
    with examining(directory.state) as state:
        at = DataAtHand(
            config,
            sources.problems,
            sources.file,
            files,
            state,
            EmbeddedStorage(files, directory.storage / "events"),
            EmbeddedRecordings(files, directory.storage / "recordings"),
            datetime.now(UTC),
            deep,
            read,
        )
        for check in LOCAL_CHECKS:
            if check.name in names:
                yield examine(check, at)


def data_dir_of(flags: Mapping[str, object], environ: Mapping[str, str]) -> Path:
    """The data directory that flags and environment tell."""
    return read_sources(flags, environ).config.data_dir
