"""What the sample recordings hold beside the lines of sample-events.jsonl: seconds since the session began, and text.

The lines tell by their index how many of these come before them.
"""

from __future__ import annotations

PROMPT = "\x1b]0;idris@crane-04: ~\x07\x1b[01;32midris@crane-04\x1b[00m:\x1b[01;34m~\x1b[00m$ "

LISTING = (
    "total 48\r\n"
    "-rw-r----- 1 crane crane 18211 Nov  1 08:59 \x1b[0m\x1b[01;36mhoist.log\x1b[0m\r\n"
    "-rw-r----- 1 crane crane  9120 Nov  1 08:41 \x1b[01;31mhoist.log.1.gz\x1b[0m\r\n"
    "drwxr-x--- 2 crane crane  4096 Oct 30 22:10 \x1b[01;34marchive\x1b[0m\r\n"
    "-rwxr-x--- 1 crane crane   612 Sep 14 07:02 \x1b[01;32mrotate\x1b[0m\r\n"
)

LESS = (
    "\x1b[?1049h\x1b[H\x1b[2J"
    "# Limits of crane 4. Söhne & Co, Pier 4 — 起重机\r\n"
    "[hoist]\r\nmax_load_kg = 41000\r\nmax_wind_mps = 17.5\r\n\r\n"
    "[slew]\r\nmax_deg_per_s = 1.8\r\n"
    "\x1b[40;1H\x1b[7m/etc/crane/limits.toml (END)\x1b[27m\x1b[K"
)

TABLE = (
    'psql (17.2)\r\nType "help" for help.\r\n\r\ncargo=> select berth, vessel from arrivals;\r\n'
    " berth |   vessel   \r\n-------+------------\r\n N-12  | Nordstern\r\n N-14  | Mære\r\n(2 rows)\r\n\r\ncargo=> "
)


def _progress(percent: int) -> str:
    bar = "█" * (percent // 5)
    return f"\r\x1b[K\x1b[33mcopying\x1b[0m {bar:<20} {percent:3}%"


SHELL: list[tuple[float, str]] = [
    (0.150, "Debian GNU/Linux 13\r\nLast login: Fri Oct 31 17:20:44 2026 from 198.51.100.77\r\n"),
    (0.312, PROMPT),
    (0.640, "\x1b[H\x1b[2J" + PROMPT),
    (3.100, "l"),
    (3.240, "s"),
    (3.421, " -l "),
    (4.900, "/var/log/cran"),
    (17.770, "\x1b[7mE\x1b[27m\x07"),
    (18.660, "\b\x1b[Ke\r\n"),
    (19.170, LISTING),
    (19.174, PROMPT + "less /etc/crane/limits.toml\r\n"),
    (29.600, LESS),
    (42.050, "\x1b[40;1H\x1b[K\x1b[?1049l" + PROMPT + "psql cargo\r\n"),
    (51.410, TABLE),
    (168.800, "\r\n\x1b[1mUser priya@harbour.example joined the session with the mode observer.\x1b[0m\r\n"),
    (171.050, "\\q\r\n" + PROMPT),
    (174.330, "cp -r /var/log/crane /mnt/backup\r\n"),
    (275.000, _progress(0)),
    (276.200, _progress(35)),
    (277.400, _progress(80)),
    (278.100, _progress(100) + "\r\n"),
    (278.140, "\x1b[s\x1b[1;60H\x1b[42;97m done \x1b[0m\x1b[u" + PROMPT),
    (303.900, "exit\r\n"),
    (304.100, "logout\r\n"),
]

FAILED: list[tuple[float, str]] = [
    (0.310, "berth-report 3.1: reading /srv/berths.db\r\n"),
    (2.480, "\x1b[1;31merror:\x1b[0m cannot open /srv/berths.db: Permission denied\r\n"),
]

QUERIES: list[tuple[float, str]] = [
    (14.2, "SELECT id, weight_kg FROM manifests WHERE shipper = $1 AND hazardous IS $2"),
    (95.75, "SELECT count(*) FROM manifests"),
    (320.0, "EXPLAIN SELECT * FROM manifests ORDER BY weight_kg DESC LIMIT 10"),
    (322.41, "SELECT * FROM manifests ORDER BY weight_kg DESC LIMIT 10"),
    (1790.0, "SET search_path TO public"),
]
