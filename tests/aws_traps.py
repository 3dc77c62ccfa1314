"""Every variable, profile and file that AWS's tools would read, each leading to a trap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def set_traps(setenv: Callable[[str, str], object], folder: Path, url: str) -> None:
    """Set them all; whoever follows one calls `url`, or signs as `AKIATRAP`."""
    poisoned = folder / "poisoned-config"
    poisoned.write_text(
        "[default]\nregion = xx-trap-1\naws_access_key_id = AKIATRAP\naws_secret_access_key = trap\n"
        f"endpoint_url = {url}\nca_bundle = /nonexistent\nrole_arn = arn:aws:iam::666666666666:role/trap\n"
        f"credential_process = touch {folder}/trapped\ns3 =\n  addressing_style = virtual\n"
    )
    aws = folder / ".aws"
    (aws / "models" / "s3" / "2006-03-01").mkdir(parents=True)
    (aws / "models" / "s3" / "2006-03-01" / "service-2.json").write_text("{}")
    for name in ("config", "credentials"):
        (aws / name).write_text(poisoned.read_text())
    token = folder / "trap-token"
    token.write_text("trap")
    for name, value in {
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "AKIATRAP",
        "AWS_SECRET_ACCESS_KEY": "trap",
        "AWS_SESSION_TOKEN": "trap",
        "AWS_PROFILE": "default",
        "AWS_DEFAULT_PROFILE": "default",
        "AWS_REGION": "xx-trap-1",
        "AWS_DEFAULT_REGION": "xx-trap-1",
        "AWS_CONFIG_FILE": str(poisoned),
        "AWS_SHARED_CREDENTIALS_FILE": str(poisoned),
        "AWS_DATA_PATH": str(aws / "models"),
        "AWS_CA_BUNDLE": str(folder / "nonexistent.pem"),
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ENDPOINT_URL_GLUE": url,
        "AWS_ENDPOINT_URL_ATHENA": url,
        "AWS_ROLE_ARN": "arn:aws:iam::666666666666:role/trap",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/trap",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_RETRY_MODE": "trap",
        "AWS_MAX_ATTEMPTS": "trap",
        "AWS_DEFAULTS_MODE": "trap",
        "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "trap",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "trap",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "trap",
        "AWS_S3_USE_ARN_REGION": "true",
        "AWS_CSM_ENABLED": "true",
        "AWS_BEARER_TOKEN_S3": "trap",
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "http_proxy": url,
        "https_proxy": url,
        "REQUESTS_CA_BUNDLE": str(folder / "nonexistent.pem"),
        "CURL_CA_BUNDLE": str(folder / "nonexistent.pem"),
    }.items():
        setenv(name, value)
