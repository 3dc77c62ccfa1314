"""Web identity, step by step: the token, the role, the account."""

from __future__ import annotations

from typing import Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.credentials import SESSION_SECONDS
from server.storage.aws.errors import AwsError, CredentialsUnavailable, Kind
from server.storage.connection import Wanted

TOKEN: Final = "credentials.token"  # noqa: S105 -- names of checks
ROLE: Final = "credentials.role"
ACCOUNT: Final = "credentials.account"

_TOKEN_FAULTS: Final = {
    "InvalidIdentityToken": (
        "AWS does not accept the token: it knows no such issuer, expects another audience, or other keys sign it.",
        "identity provider",
        "See that IAM has an OpenID Connect provider for exactly {issuer} with the client id {audience}: "
        "`extaudit integrations aws-setup` makes it. Where it is there, see that the issuer's documents are those of "
        "this service.",
    ),
    "ExpiredTokenException": (
        "AWS takes the token for expired, though it was made just now: the clocks differ.",
        "clock",
        "Set this machine's clock by NTP.",
    ),
    "IDPCommunicationError": (
        "AWS could not fetch the issuer's documents.",
        "issuer_url",
        "See that {issuer}/.well-known/openid-configuration can be reached from the internet by https, with a "
        "certificate of a public authority.",
    ),
    "IDPRejectedClaim": (
        "The issuer rejected the token.",
        "issuer_url",
        "See that {issuer} is this service.",
    ),
    "RegionDisabledException": (
        "The token service of the storage's region is not activated for the account.",
        "region",
        "Have the account's administrator enable the region, or activate its STS endpoint in IAM's account settings.",
    ),
}


def check_credentials(clients: AwsClients, wanted: Wanted, findings: Findings) -> bool:
    """Tell of token, role and account; False where there are no credentials, so that nothing else can be looked at."""
    try:
        session = clients.credentials.current()
    except CredentialsUnavailable as error:
        _tell_unavailable(error, wanted, findings)
        return False
    findings.passed(TOKEN, wanted.issuer, "AWS accepts the service's token.", token_subject=wanted.subject)
    if session.seconds < SESSION_SECONDS:
        findings.warning(
            ROLE,
            wanted.role_arn,
            "The role is assumed, for 15 minutes only.",
            setting="maximum session duration",
            remedy="Set the role's maximum session duration to an hour.",
        )
    else:
        findings.passed(ROLE, wanted.role_arn, "The role is assumed, for an hour.")
    _check_account(clients, wanted, findings)
    return True


def _tell_unavailable(error: CredentialsUnavailable, wanted: Wanted, findings: Findings) -> None:
    cause = error.cause
    if cause is None:
        findings.failed(
            TOKEN, wanted.issuer or "issuer", f"The service can't make a token: {error.words}.", setting="issuer_url",
            remedy="Set `issuer_url` and see that the signing keys can be used: `extaudit doctor`.",
        )  # fmt: skip
        why = "there is no token"
    elif cause.code in _TOKEN_FAULTS:
        detail, setting, remedy = _TOKEN_FAULTS[cause.code]
        remedy = remedy.format(issuer=wanted.issuer, audience=wanted.audience)
        findings.failed(
            TOKEN, wanted.issuer, detail, setting=setting, remedy=remedy, code=cause.code, request_id=cause.request_id
        )
        why = "AWS does not accept the token"
    elif cause.kind is Kind.DENIED:
        findings.passed(TOKEN, wanted.issuer, "AWS finds no fault with the token.", token_subject=wanted.subject)
        findings.failed(
            ROLE,
            wanted.role_arn,
            "The role may not be assumed: there is none of that name, or its trust policy does not admit the token.",
            setting="trust policy",
            remedy="Have the role's trust policy allow sts:AssumeRoleWithWebIdentity to the provider of "
            f"{wanted.issuer}, with aud {wanted.audience} and sub {wanted.subject}: "
            "`extaudit integrations aws-setup` does it.",
            code=cause.code,
            request_id=cause.request_id,
        )
        findings.not_checked(ACCOUNT, wanted.account_id, "The role was not assumed.")
        return
    else:
        findings.refused(TOKEN, wanted.issuer, cause)
        why = "the token service gave no session"
    findings.not_checked(ROLE, wanted.role_arn, f"It can't be assumed: {why}.")
    findings.not_checked(ACCOUNT, wanted.account_id, "The role was not assumed.")


def _check_account(clients: AwsClients, wanted: Wanted, findings: Findings) -> None:
    try:
        who = clients.sts.get_caller_identity()
    except AwsError as error:
        findings.refused(ACCOUNT, wanted.account_id, error)
        return
    account = str(who.get("Account", ""))
    if account == wanted.account_id:
        findings.passed(
            ACCOUNT, wanted.account_id, "The role is of the storage's account.", arn=str(who.get("Arn", ""))
        )
        return
    findings.failed(
        ACCOUNT,
        wanted.account_id,
        f"The role is of the account {account}, and the storage of {wanted.account_id}.",
        setting="role ARN",
        remedy="Give the integration a role of the storage's account.",
    )
