"""Generate audit events like Teleport's, and write them as batches: `generate_events.py FOLDER --events N`."""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from server.audit_log.batch_codec import BatchRow, columns_of, encode

START_MS = 1_750_000_000_000 // 86_400_000 * 86_400_000
DAY_MS = 86_400_000
USERS = [
    f"{name}.{number:02d}@example.com"
    for number in range(50)
    for name in ["ana", "bo", "chi", "dan", "eve", "fay", "gus", "hal", "ivy", "jon"]
]
SESSION_TYPES = [
    "session.start",
    "session.end",
    "session.data",
    "session.leave",
    "session.join",
    "session.command",
    "session.network",
    "session.disk",
    "exec",
    "scp",
    "sftp",
    "port",
    "resize",
    "db.session.start",
    "db.session.end",
    "db.session.query",
    "db.session.postgres.statements.parse",
    "app.session.start",
    "app.session.chunk",
    "app.session.end",
    "kube.request",
    "windows.desktop.session.start",
]
OTHER_TYPES = [
    "user.login",
    "user.create",
    "user.update",
    "user.delete",
    "cert.create",
    "auth",
    "access_request.create",
    "access_request.review",
    "role.created",
    "role.updated",
    "bot.join",
    "instance.join",
    "device.authenticate",
    "mfa.add",
    "join_token.create",
    "lock.created",
    "session.upload",
    "github.created",
    "saml.created",
    "access_list.create",
]
COMMANDS = [
    "kubectl get pods -n payments",
    "psql -h ledger -U app",
    "tail -f /var/log/syslog",
    "sudo systemctl restart api",
]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "grpc-go/1.64.0",
    "tsh/16.0.4 linux/amd64 (go1.22.4)",
]


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _json(rng: random.Random, kind: str, uid: str, session_id: str, user: str, time_ms: int) -> str:
    stamp = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6]
    host = rng.randrange(400)
    detail = (
        f'"command":"{rng.choice(COMMANDS)}","exitCode":"{rng.randrange(3)}"'
        if session_id
        else (f'"method":"{rng.choice(("oidc", "saml", "local"))}","user_agent":"{rng.choice(AGENTS)}"')
    )
    sid = f'"sid":"{session_id}","with_mfa":"{_uuid(rng)}",' if session_id else ""
    return (
        f'{{"ei":{rng.randrange(400)},"event":"{kind}","uid":"{uid}","code":"T{rng.randrange(2000, 2060)}I",'
        f'"time":"{stamp}Z","cluster_name":"prod.example.com","user":"{user}","login":"root",{sid}'
        f'"user_kind":1,"addr.local":"10.0.{host % 256}.7:3022",'
        f'"addr.remote":"203.0.113.{rng.randrange(256)}:{rng.randrange(30000, 60000)}",'
        f'"proto":"ssh","server_id":"5c2f7d1e-0f4b-4b7e-9b1a-{host:012d}",'
        f'"server_hostname":"node-{host:03d}.eu-west-1.internal",'
        f'"server_labels":{{"env":"prod","team":"team-{host % 23}","region":"eu-west-1"}},"server_version":"16.0.4",'
        f'"success":{"true" if rng.random() < 0.97 else "false"},"ttl_seconds":{rng.choice((1800, 3600, 43200))},'
        f'"load":{rng.randrange(400) / 100:.2f},{detail}}}'
    )


def events(count: int, *, days: int = 10, seed: int = 1, start_ms: int = START_MS) -> Iterator[BatchRow]:
    """`count` events, evenly over `days`, nearly in order of time; the same seed gives the same events."""
    rng = random.Random(seed)
    step = days * DAY_MS / count
    sessions = [_uuid(rng) for _ in range(200)]
    for sequence in range(count):
        day_start = start_ms + int(sequence * step) // DAY_MS * DAY_MS
        time_ms = max(day_start, start_ms + int(sequence * step) - rng.randrange(2000))
        in_session = rng.random() < 0.7
        kind = rng.choice(SESSION_TYPES if in_session else OTHER_TYPES)
        if rng.random() < 0.02:
            sessions[rng.randrange(len(sessions))] = _uuid(rng)
        session_id = rng.choice(sessions) if in_session else ""
        uid, user = _uuid(rng), rng.choice(USERS)
        data = _json(rng, kind, uid, session_id, user, time_ms).encode()
        yield BatchRow(sequence, time_ms, kind, uid, session_id, user, data, hashlib.sha256(data).hexdigest())


def write(folder: Path, *, count: int, files: int, days: int = 10, seed: int = 1) -> None:
    """Write `count` events as `files` objects below a folder for each date; `files` must be a multiple of `days`."""
    rows: list[BatchRow] = []
    for row in events(count, days=days, seed=seed):
        rows.append(row)
        if len(rows) == count // files:
            _flush(folder, rows)
            rows = []


def _flush(folder: Path, rows: list[BatchRow]) -> None:
    first, last = rows[0].sequence, rows[-1].sequence
    date = datetime.fromtimestamp(rows[0].time_ms / 1000, UTC).date().isoformat()
    path = folder / date / f"bench-{first:012d}-{last:012d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(columns_of(rows), path, log_id="bench", first=first, last=last)


def main() -> None:
    """Write the files and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started = time.perf_counter()
    write(args.folder, count=args.events, files=args.files, days=args.days, seed=args.seed)
    print(f"{args.events} events in {args.files} files, {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
