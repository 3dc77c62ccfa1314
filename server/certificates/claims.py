"""Which names and roles a certificate may claim: the same rules when issuing and when resolving."""

from __future__ import annotations

import re
import unicodedata

from rbac.identities import COMPONENT_ROLES, SYSTEM_ROLES

ADMINISTRATOR = "admin"
"""The name of the first user. It is the one user name that may be spelled like a system role (`Admin`)."""

MAX_NAME_CHARACTERS = 128
_HOST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FOLDED_SYSTEM_ROLES = frozenset(role.casefold() for role in SYSTEM_ROLES)


def is_plain_text(text: str) -> bool:
    """1 to 128 characters, all of them visible or a space; no control, bidi, format or unassigned character."""
    return 0 < len(text) <= MAX_NAME_CHARACTERS and all(
        unicodedata.category(character)[0] in "LMNPS" or character == " " for character in text
    )


def is_user_name(name: str) -> bool:
    """Plain text, no space at an end, and not a system role's name in any letter case."""
    return is_plain_text(name) and name == name.strip(" ") and (name == ADMINISTRATOR or not is_system_role(name))


def is_user_role(role: str) -> bool:
    """Plain text, and not a system role's name in any letter case."""
    return is_plain_text(role) and role == role.strip(" ") and not is_system_role(role)


def is_system_role(text: str) -> bool:
    """Whether the text is a system role's name, whatever its letter case."""
    return text.strip().casefold() in _FOLDED_SYSTEM_ROLES


def is_host_id(host_id: str) -> bool:
    """What a component may be called when its certificate is issued here."""
    return _HOST_ID.fullmatch(host_id) is not None


def is_component_role(role: str) -> bool:
    """Exactly a system role that components may carry."""
    return role in COMPONENT_ROLES
