"""Client ids of IAM's OpenID Connect providers: moto can't add one to a provider that is there."""

from __future__ import annotations

from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from tests.sandbox.asked import Asked
from tests.sandbox.refusals import Answer, Refused, xml_answer

_DONE = (
    '<AddClientIDToOpenIDConnectProviderResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
    "<ResponseMetadata><RequestId>added</RequestId></ResponseMetadata></AddClientIDToOpenIDConnectProviderResponse>"
)


def add_client_id(asked: Asked) -> Answer:
    """AddClientIDToOpenIDConnectProvider: one that is there already changes nothing."""
    assert asked.caller is not None
    known = iam_backends[asked.caller.account][get_partition(asked.region)].open_id_providers
    provider = known.get(asked.text("OpenIDConnectProviderArn"))
    if provider is None:
        raise Refused("NoSuchEntity", "There is no such provider.", 404)
    if asked.text("ClientID") not in provider.client_id_list:
        provider.client_id_list.append(asked.text("ClientID"))
    return xml_answer(_DONE)
