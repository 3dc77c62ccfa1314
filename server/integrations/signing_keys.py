"""The keys of the service's own issuer as this process knows them: kept current, rotated, and asked to sign.

Other processes may change them: every change is made from the revision that it saw, and each signing looks whether
that is still the one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from server.errors import Aborted, FailedPrecondition, Unavailable
from server.files import Files
from server.integrations.key_events import events_of
from server.integrations.key_life import Schedule, active_of, dropped, due, has_room, next_of, ready_ms, rotated
from server.integrations.key_making import Signer, make_key, signer_of
from server.integrations.key_wrapping import WrappingKey, WrongWrappingKey, read_wrapping_key, wrong_wrapping_key
from server.state.database import StateFault
from server.state.signing_keys import KeyState, SigningKey, SqlSigningKeys


class KeyMeter(Protocol):
    """Is told what becomes of keys and tokens."""

    def signed(self) -> None:
        """A token was signed."""

    def rotation_failed(self) -> None:
        """Keys could not be changed."""


@dataclass(frozen=True, slots=True)
class Known:
    """The keys at one revision, and what signs."""

    revision: int = -1
    keys: tuple[SigningKey, ...] = ()
    signer: Signer | None = field(default=None, repr=False)
    problem: str = ""
    """Which key can't be opened, so that nothing may be changed; '' where all can. It is published anyway."""

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The keys of the published set, oldest first."""
        return tuple(key for key in self.keys if key.is_published)


class SigningKeys:
    """Safe to use from several threads; everything but `known` may block."""

    def __init__(
        self,
        store: SqlSigningKeys,
        wrapping: WrappingKey,
        schedule: Schedule,
        meter: KeyMeter,
        now_ms: Callable[[], int],
    ) -> None:
        self.schedule = schedule
        self._store = store
        self._wrapping = wrapping
        self._meter = meter
        self._now_ms = now_ms
        self._known = Known()
        self._looking = threading.Lock()
        self._changing = threading.Lock()

    @property
    def known(self) -> Known:
        """The keys as last looked at."""
        return self._known

    def refresh(self) -> Known:
        """Look at the keys; costs one row where they have not changed.

        Raises:
            StateFault: the state database can't be read; what was known stays.
        """
        with self._looking:
            found = self._store.read(self._known.revision)
            if found is not None:
                self._known = self._opened(*found)
            return self._known

    def signer(self) -> Signer:
        """What signs now, looked up anew: a key that another process dropped signs no more.

        Raises:
            Unavailable: it can't be told, or there is none.
        """
        try:
            signer = self.refresh().signer
        except StateFault:
            raise Unavailable("the signing keys can't be read now", reason="STATE_UNAVAILABLE") from None
        if signer is None:
            raise Unavailable("there is no signing key that can be opened", reason="STATE_UNAVAILABLE")
        self._meter.signed()
        return signer

    def look_after(self) -> bool:
        """Do what is due: make keys, rotate by age, take retired ones out of the set. False where another was faster.

        Raises:
            WrongWrappingKey, StateFault: nothing is changed.
        """
        with self._changing:
            known = self._all_opened()
            now = self._now_ms()
            changed = due(known.keys, now, self.schedule, lambda: make_key(self._wrapping, now))
            return not changed or self._change(known, changed, {})

    def rotate(self, *, drop_old: bool, about: dict[str, object]) -> tuple[SigningKey, ...]:
        """Have the next key sign from now on; all keys as they are then. `about` is added to the events.

        Raises:
            FailedPrecondition: the next key isn't published for long enough, or too many are still retiring; never
                where the old key is dropped.
            Aborted: another process changed the keys meanwhile.
            StateFault, WrongWrappingKey: nothing is changed.
        """
        with self._changing:
            known = self._all_opened()
            now = self._now_ms()
            make = lambda: make_key(self._wrapping, now)  # noqa: E731
            if drop_old:
                changed = dropped(known.keys, now, make)
            else:
                self._check_ready(known.keys, now)
                changed = rotated(known.keys, now, self.schedule, make)
            if not self._change(known, changed, about):
                raise Aborted("the signing keys were changed by another just now; look at them again")
            return self._known.keys

    def _check_ready(self, keys: Sequence[SigningKey], now_ms: int) -> None:
        ready = ready_ms(keys, self.schedule)
        if ready is not None and ready > now_ms:
            seconds = str(-((now_ms - ready) // 1000))
            text = f"the next key is not published for long enough: AWS may not know it; try again in {seconds} seconds"
            raise FailedPrecondition(text, reason="KEY_NOT_PUBLISHED", seconds=seconds)
        if not has_room(keys):
            text = "too many keys are still published for what they signed; try again when one has left the set"
            raise FailedPrecondition(text, reason="KEY_NOT_PUBLISHED")

    def _change(self, known: Known, changed: Sequence[SigningKey], about: dict[str, object]) -> bool:
        """Write a change made from `known`. The caller holds `_changing`."""
        before = {key.key_id: key for key in known.keys}
        done = self._store.change(known.revision, changed, events_of(before, changed, about))
        self.refresh()
        return done

    def _all_opened(self) -> Known:
        known = self.refresh()
        if known.problem:
            raise WrongWrappingKey(known.problem)
        return known

    def _opened(self, revision: int, keys: Sequence[SigningKey]) -> Known:
        signer, problem = self._known.signer, ""
        active, following = active_of(keys), next_of(keys)
        try:
            if active is None:
                signer = None
            elif signer is None or signer.key_id != active.key_id:
                signer = None
                signer = signer_of(active, self._wrapping)
            if following is not None:
                signer_of(following, self._wrapping)  # what can't sign later must be known now
        except WrongWrappingKey as error:
            problem = str(error)
        return Known(revision, tuple(keys), signer, problem)


def usable(keys: Sequence[SigningKey]) -> bool:
    """Whether any key has a private half, so that the wrapping key must be there."""
    return any(key.wrapped_key for key in keys)


def check_wrapping_key(files: Files, path: Path, keys: Sequence[SigningKey]) -> None:
    """Look whether the wrapping key in the file `path` opens `keys`; makes none, and is content without where none is
    needed.

    Raises:
        DataDirectoryProblem: a start would be refused.
    """
    if not usable(keys):
        return
    wrapping = read_wrapping_key(files, path, may_make=False)
    try:
        for key in keys:
            if key.wrapped_key:
                signer_of(key, wrapping)
    except WrongWrappingKey:
        raise wrong_wrapping_key() from None


__all__ = ["KeyMeter", "KeyState", "Known", "SigningKey", "SigningKeys", "check_wrapping_key", "usable"]
