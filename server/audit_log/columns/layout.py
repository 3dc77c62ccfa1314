"""The columns of an event table: one row of 64-bit numbers an event, offsets being into the block's buffer.

Names of numbers, so that compiled code and Python mean the same.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Table: TypeAlias = NDArray[np.int64]

START: Final = 0
"""Where the JSON to store begins."""
END: Final = 1
"""Where it ends."""
TIME_MS: Final = 2
TYPE: Final = 3
"""Where the text of the type begins; its length in bytes is the column after. The other texts alike."""
UID: Final = 5
SESSION: Final = 7
USER: Final = 9
UID_KEY: Final = 11
"""64 bits of a keyed hash of the uid."""
FINGERPRINT: Final = 12
"""128 bits of a keyed hash of emitter and JSON as received, in two columns, lower half first."""
INDEX: Final = 14
"""Its place in the message, from 0."""
STATE: Final = 15
"""0 for an event that the scan found right, else it is to be parsed by `event.parse_event`."""
COLUMNS: Final = 16
