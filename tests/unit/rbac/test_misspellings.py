"""What a name was meant to be."""

import pytest

from rbac.misspellings import meant_by

KNOWN = frozenset({"allow", "deny"})


@pytest.mark.parametrize(
    "name", ["Deny", "DENY", "denys", "den", "eny", "dxny", "denx", "xdeny", "dney", "edny", "DENy-"]
)
def test_one_character_or_case_is_a_misspelling(name):
    assert meant_by(name, KNOWN) == "deny"


@pytest.mark.parametrize("name", ["deny", "allow", "de", "yned", "denyyy", "dn", "options", "", "-"])
def test_a_known_name_and_one_that_is_like_none_are_not(name):
    assert meant_by(name, KNOWN) is None
