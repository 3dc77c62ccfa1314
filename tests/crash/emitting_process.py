"""A process that emits with a spool and says on stdout what `emit` returned for; started and killed by a test."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from extaudit_client import Connection, Emitter, Retries

_LOCK = threading.Lock()


def run(emitter: Emitter, name: str, seed: int) -> None:
    dice, number = random.Random(seed), 0
    while True:
        count = dice.choice([1, 1, 1, 5, 40])
        keys = [f"{name}.{number + index}" for index in range(count)]
        number += count
        padding = "x" * dice.randrange(1_500)
        emitter.emit_many({"event": "spooled", "key": key, "padding": padding} for key in keys)
        with _LOCK:
            sys.stdout.write("".join(f"{key}\n" for key in keys))
            sys.stdout.flush()


def main() -> None:
    data_dir, spool_dir, name, seed = sys.argv[1:]
    connection = Connection.from_data_dir(Path(data_dir))
    emitter = Emitter(connection, spool_dir, retries=Retries(first_delay=0.05), max_bytes=8 << 20, full_timeout=None)
    threads = [
        threading.Thread(target=run, args=(emitter, f"{name}.{n}", int(seed) + n), daemon=True) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    threads[0].join()


if __name__ == "__main__":
    main()
