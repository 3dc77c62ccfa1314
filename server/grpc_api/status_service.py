"""StatusService: tells how the service is."""

from __future__ import annotations

from dataclasses import dataclass

from extaudit.v1 import status_service_pb2 as pb

from rbac.permissions import STATUS_WITH_PLACES
from server.external_storage.storage import Stage
from server.grpc_api.call import Call
from server.grpc_api.external_storage_messages import storage_message
from server.grpc_api.external_storage_use_cases import Drafts
from server.grpc_api.status_messages import status_response
from server.grpc_api.use_cases import Status


@dataclass(frozen=True, slots=True)
class StatusServicer:
    """The methods of StatusService."""

    status: Status
    drafts: Drafts

    async def GetStatus(self, _request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:  # noqa: N802
        """The state of the service; where its storage is only for those who may read that."""
        show_location = STATUS_WITH_PLACES in call.granted
        response = status_response(await self.status.state(call.access, show_location=show_location))
        if show_location:
            for stage, field in ((Stage.CLUSTER, response.cluster), (Stage.DRAFT, response.draft)):
                storage = await self.drafts.find(stage)
                if storage is not None:
                    field.CopyFrom(storage_message(storage))
        return response
