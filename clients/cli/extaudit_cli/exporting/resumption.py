"""An export from its state on, and after any interruption left so that it can be gone on with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from extaudit_cli.exporting.destination import Destination
from extaudit_cli.exporting.outputs import Output
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.question import Question
from extaudit_cli.exporting.run import Export, Told
from extaudit_cli.exporting.state import ExportState, StateFile
from server.files import DiskFiles, Files

if TYPE_CHECKING:
    from extaudit_client import ExportSource, ExtauditError, Query


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far the export is, whether it had ended before this run, and whether this run was stopped."""

    state: ExportState
    continued: bool
    interrupted: bool = False


@dataclass(frozen=True)
class ResumableExport:
    """An export to a destination. While it follows, a lost connection is told to `lost` and it tries again.

    Once `stop` is set it ends with its next step, also if the service's calls are then cancelled.
    """

    source: ExportSource
    destination: Destination
    question: Question
    progress: Progress
    parallel: int
    lost: Told
    stop: threading.Event = field(default_factory=threading.Event)
    files: Files = field(default_factory=DiskFiles)
    clock: Callable[[], float] = time.monotonic
    again_seconds: float = 30.0

    def run(self, *, follow: bool) -> Outcome:
        """Export from where the state is.

        Raises:
            StateProblem: the state is in use, of another question, or not what the files are.
            ExtauditError: the service refused or failed; the state says how far it came.
            OSError: state or output can't be written; what the state says is there all the same.
        """
        is_new = self.destination.prepare(self.files)
        try:
            with self.destination.held():
                return self.run_alone(follow=follow)
        except Exception:
            if is_new:
                with suppress(OSError):  # what went wrong before is what is to be told
                    self.destination.remove_empty(self.files)
            raise

    def run_alone(self, *, follow: bool) -> Outcome:
        """The same where nothing else can use the state."""
        keeper = StateFile(self.files, self.destination.state) if self.destination.state else None
        kept = keeper.load() if keeper else None
        query = self.question.resolved(kept.question if kept else None)
        if kept is None:
            return self._export(query, keeper, Outcome(self._begin(keeper), continued=False), follow=follow)
        self.progress.missing(kept.missing)
        return self._export(query, keeper, Outcome(kept, continued=True), follow=follow)

    def _begin(self, keeper: StateFile | None) -> ExportState:
        state = ExportState(self.question.document())
        if keeper is not None:
            self.destination.check_free(self.files)
            keeper.save(state)
        return state

    def _export(self, query: Query, keeper: StateFile | None, before: Outcome, *, follow: bool) -> Outcome:
        state, answered = before.state, False
        while True:
            output = self.destination.open(self.files, state, keeper)
            export = self._export_to(output, query)
            try:
                export.run(follow=follow)
                return Outcome(output.reached, before.continued)
            except OSError:
                raise
            except Exception as error:  # what was written until then is noted, whatever ended it
                output.checkpoint()
                if self.stop.is_set():
                    return Outcome(output.reached, before.continued, interrupted=True)
                answered = answered or export.began
                if not answered and not before.continued:
                    self.destination.discard(self.files)
                if not follow or not answered or not _passes(error):
                    raise
                failure = error
            finally:
                output.close()
            state = output.reached
            self.lost(failure, self.again_seconds)
            if self.stop.wait(self.again_seconds):
                return Outcome(state, before.continued, interrupted=True)

    def _export_to(self, output: Output, query: Query) -> Export:
        return Export(
            self.source,
            query,
            self.destination.form,
            output,
            self.progress,
            parallel=self.parallel,
            lost=self.lost,
            stop=self.stop,
            clock=self.clock,
        )


def _passes(error: Exception) -> TypeGuard[ExtauditError]:
    """Whether who follows goes on after it: there is always time for another answer."""
    from extaudit_client import ExtauditError
    from extaudit_client.retries import is_worth_a_retry

    return isinstance(error, ExtauditError) and (error.code == "DEADLINE_EXCEEDED" or is_worth_a_retry(error))
