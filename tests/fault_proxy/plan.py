"""Which requests go wrong, and how: the nth that fits, counted from when it was planned."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from tests.fault_proxy.exchange import Fault


@dataclass(frozen=True)
class Where:
    """Requests of a method whose path and query have a match of the pattern."""

    method: str
    pattern: str

    def fits(self, method: str, target: str) -> bool:
        return method == self.method and re.search(self.pattern, target) is not None


@dataclass(eq=False)
class Planned:
    """A fault that befalls the requests `first`, `first` + 1, … of those that fit, `times` in all."""

    where: tuple[Where, ...]
    fault: Fault
    first: int = 1
    times: int | None = 1
    """None until it is taken back."""
    fitted: int = 0
    befallen: list[str] = field(default_factory=list)
    """Method and target of each request that it befell."""

    @property
    def is_over(self) -> bool:
        """Whether it befell all that it was to befall."""
        return self.times is not None and len(self.befallen) >= self.times


class Plan:
    """All that is planned. Safe to use from several threads."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []
        self._lock = threading.Lock()

    def add(self, planned: Planned) -> Planned:
        """One more; what was planned before goes before."""
        with self._lock:
            self._planned.append(planned)
        return planned

    def take_back(self, planned: Planned) -> None:
        """It befalls nothing any more."""
        with self._lock:
            self._planned.remove(planned)

    def clear(self) -> None:
        """Nothing is planned any more."""
        with self._lock:
            self._planned.clear()

    def fault_of(self, method: str, target: str) -> Fault | None:
        """What befalls this request. Every plan that it fits counts it."""
        found: Fault | None = None
        with self._lock:
            for each in self._planned:
                if not any(where.fits(method, target) for where in each.where):
                    continue
                each.fitted += 1
                if found is None and each.fitted >= each.first and not each.is_over:
                    each.befallen.append(f"{method} {target}")
                    found = each.fault
        return found
