"""Turns errors into statuses. What nobody maps would reach the client as UNKNOWN with the exception's text."""

from __future__ import annotations

import logging
from typing import NoReturn

import grpc

from server.errors import AuditStoreError
from server.grpc_api.call import Call
from server.grpc_api.status import status_of

_LOG = logging.getLogger(__name__)


async def end_failed(call: Call, failure: Exception) -> NoReturn:
    """End a failing call with the status of its error; the log alone gets the traceback of a fault."""
    code, status = status_of(failure, call.request_id)
    if code is grpc.StatusCode.INTERNAL:
        _LOG.error("call failed", exc_info=failure, extra={"fields": {"method": call.method}})
    if isinstance(failure, AuditStoreError):
        call.reason, call.hidden = failure.reason, failure.hidden
        if failure.for_log:
            _LOG.info("call refused", extra={"fields": {"method": call.method, "why": failure.for_log}})
    else:
        call.reason = AuditStoreError.reason
    await call.abort(code, status.message, status.SerializeToString())
