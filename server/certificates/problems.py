"""What is wrong with local certificates, keys or their folders, in words for the administrator of this machine."""

from __future__ import annotations


class CertificateProblem(Exception):
    """The message names files relative to the data directory (or as configured) and says what to do.

    It never reaches a gRPC caller: what callers see is `server.errors.Unauthenticated`.
    """
