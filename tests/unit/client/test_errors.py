from __future__ import annotations

import socket
from pathlib import Path

import grpc
import pytest
from extaudit_client import Client, Connection, ConnectionFailed, ExtauditError, Violation

from tests.unit.client.certificates import Pki, make_pki
from tests.unit.client.fake_service import FakeService, Refused, serve

INVALID, FULL = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED


def refusal(service: FakeService, client: Client, refused: Refused) -> ExtauditError:
    def refuse(_: object) -> object:
        raise refused

    service.emit = refuse
    with pytest.raises(ExtauditError) as caught:
        client.emit(b"{}")
    return caught.value


def test_an_error_carries_code_reason_message_violations_and_delay(service: FakeService, client: Client) -> None:
    refused = Refused(INVALID, "INVALID_REQUEST", "wrong", (("event.time", "must be RFC 3339"),), 1.5)
    error = refusal(service, client, refused)
    assert (error.code, error.reason, error.message) == ("INVALID_ARGUMENT", "INVALID_REQUEST", "wrong")
    assert error.violations == (Violation("event.time", "must be RFC 3339"),)
    assert error.retry_after == 1.5
    assert not isinstance(error, ConnectionFailed)


def test_an_error_without_details_has_empty_members(service: FakeService, client: Client) -> None:
    error = refusal(service, client, Refused(FULL, message="no"))
    assert (error.code, error.reason, error.violations, error.retry_after) == ("RESOURCE_EXHAUSTED", "", (), None)


def test_a_reason_of_another_domain_is_no_reason(service: FakeService, client: Client) -> None:
    assert refusal(service, client, Refused(FULL, "QUOTA", domain="other")).reason == ""


def test_an_unavailable_of_the_service_is_not_taken_for_a_failed_connection(
    service: FakeService, client: Client
) -> None:
    error = refusal(service, client, Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING", "the service is stopping"))
    assert (error.reason, error.message) == ("STOPPING", "the service is stopping")
    assert not isinstance(error, ConnectionFailed)


def connection_error(connection: Connection) -> str:
    with pytest.raises(ConnectionFailed) as caught, Client(connection, timeout=60) as client:
        client.status()
    assert "\n" not in caught.value.message
    return caught.value.message


def test_nothing_listening_is_said(pki: Pki) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = connection_error(Connection(address, pki.ca, pki.cert, pki.key))
    assert message == f"can't talk to {address}: nothing is listening there"


@pytest.mark.parametrize("name", ["ca", "another name"])
def test_a_wrong_ca_is_said(service: FakeService, pki: Pki, tmp_path: Path, name: str) -> None:
    other = make_pki(tmp_path / "other", ca_name=name)
    assert "wrong CA" in connection_error(Connection(service.address, other.ca, pki.cert, pki.key))


def test_a_certificate_of_another_signer_is_said(service: FakeService, pki: Pki, tmp_path: Path) -> None:
    other = make_pki(tmp_path / "other")
    message = connection_error(Connection(service.address, pki.ca, other.cert, other.key))
    assert "may not trust the signer" in message


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(-2, -1, "client.crt expired on"), (1, 2, "client.crt isn't valid before")]
)
def test_a_certificate_out_of_its_time_is_said(tmp_path: Path, start: float, end: float, expected: str) -> None:
    dated = make_pki(tmp_path / "dated", client_from=start, client_to=end)
    with serve(FakeService(), dated) as service:
        assert expected in connection_error(Connection(service.address, dated.ca, dated.cert, dated.key))


def test_an_expired_server_certificate_is_said(tmp_path: Path) -> None:
    dated = make_pki(tmp_path / "dated", server_to=-0.5)
    with serve(FakeService(), dated) as service:
        message = connection_error(Connection(service.address, dated.ca, dated.cert, dated.key))
    assert "the server's certificate has expired" in message


def test_a_key_of_another_certificate_is_said(service: FakeService, pki: Pki) -> None:
    message = connection_error(Connection(service.address, pki.ca, pki.cert, pki.server_key))
    assert "doesn't belong to the certificate" in message


def test_a_server_certificate_for_another_name_is_said_unless_the_name_is_given(tmp_path: Path) -> None:
    named = make_pki(tmp_path / "named", server_host="audit.example.com")
    with serve(FakeService(), named) as service:
        files = (named.ca, named.cert, named.key)
        assert "is for another name" in connection_error(Connection(service.address, *files))
        with Client(Connection(service.address, *files, server_name="audit.example.com")) as client:
            assert client.status().version == ""


def test_what_speaks_no_tls_is_said(pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        connection = Connection(address, pki.ca, pki.cert, pki.key)
        with Client(connection, timeout=0.5) as client, pytest.raises(ConnectionFailed) as caught:
            client.status()
    assert "no answer in time" in caught.value.message


def test_a_file_that_is_missing_or_not_pem_is_named(pki: Pki, tmp_path: Path) -> None:
    missing = tmp_path / "missing.crt"
    assert str(missing) in connection_error(Connection("127.0.0.1:1", missing, pki.cert, pki.key))
    assert "holds no private key" in connection_error(Connection("127.0.0.1:1", pki.ca, pki.cert, pki.cert))
