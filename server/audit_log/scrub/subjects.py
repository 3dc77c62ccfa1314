"""All that one walk looks at: subjects with names of their own each, gone through one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from server.state.storage_damage import Damage
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)


class Subject(Protocol):
    """Something in a storage that is compared with what was stored. Used by one thread; errors as of Verification."""

    @property
    def damage(self) -> Mapping[str, Damage]:
        """What is wrong now, by name; may be read by any thread."""
        ...

    def begin(self) -> None:
        """Take up what was found before a stop."""
        ...

    def look(self) -> list[str]:
        """Look at what is there without reading it; gives all names whose bytes can be checked, sorted."""
        ...

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Compare the bytes of one. `read` is told how many were read, and what it raises ends it."""
        ...


class Subjects:
    """A Subject of several: the first, whose failure is everything's, and others, which may be away by themselves."""

    def __init__(self, first: Subject, others: Callable[[], Mapping[str, Subject]]) -> None:
        """`others` gives them by what their names begin with here; the same one each time, and more as they come."""
        self._first = first
        self._others = others
        self._begun: Mapping[str, Subject] = MappingProxyType({})
        self._names: dict[str, list[str]] = {}

    @property
    def damage(self) -> Mapping[str, Damage]:
        """All that is wrong now, by names as `look` gives them."""
        found = dict(self._first.damage)
        for prefix, subject in self._begun.items():
            found |= {prefix + name: each for name, each in subject.damage.items()}
        return found

    def begin(self) -> None:
        """Take up what was found before a stop."""
        self._first.begin()
        self._take_up()

    def _take_up(self) -> None:
        others = self._others()
        for prefix, subject in others.items():
            if prefix not in self._begun:
                subject.begin()
        self._begun = MappingProxyType(dict(others))

    def look(self) -> list[str]:
        """Look at all. One that can't be looked at now has the names that it had."""
        names = self._first.look()
        self._take_up()
        for prefix, subject in self._begun.items():
            try:
                self._names[prefix] = [prefix + name for name in subject.look()]
            except StorageError as error:
                fields = {"subject": prefix, "reason": str(error)}
                _log.warning("a storage can't be looked through now", extra={"fields": fields})
            names += self._names.get(prefix, [])
        return sorted(names)

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Have the one it is of check it."""
        for prefix, subject in self._begun.items():
            if name.startswith(prefix):
                subject.check(name.removeprefix(prefix), read)
                return
        self._first.check(name, read)
