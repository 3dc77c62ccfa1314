"""What must not stop in the middle is done beside the main thread, where what a signal handler raises may end any step.

Such are Ctrl-C, a time limit that is told by an alarm, or a worker's end by a signal; whoever catches it goes on.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")
GivenUp = Callable[[], bool]
"""Whether whoever asked for a task waits for it no more."""


def undisturbed(task: Callable[[GivenUp], T]) -> T:
    """Do a task where no signal handler runs, and give what it gives or raise what it raises.

    A handler that raises ends the wait for it, and the task goes on to its end; one that waits for something itself
    should then give up.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return task(lambda: False)
    beside = _Beside(task)
    try:
        return beside.result()
    except BaseException:
        beside.given_up = True
        raise


class _Beside(Generic[T]):
    """A task on a thread of its own. Its locks are the interpreter's: those of `threading` have steps of their own."""

    def __init__(self, task: Callable[[GivenUp], T]) -> None:
        self._task = task
        self._begun = allocate_lock()
        self._done = allocate_lock()
        self._done.acquire()
        self.given_up = False
        self._result: T | None = None
        self._failure: BaseException | None = None

    def result(self) -> T:
        """Have it done, and give what it gives or raise what it raises."""
        try:
            start_new_thread(self._run, ())
        except RuntimeError:  # there are no more threads at the interpreter's end
            self._run()
        self._done.acquire()
        if self._failure is not None:
            raise self._failure
        return cast(T, self._result)

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return  # it was a handler that raised RuntimeError, behind the start
        try:
            self._result = self._task(lambda: self.given_up)
        except BaseException as error:  # whoever waits gets it
            self._failure = error
        finally:
            self._done.release()
