"""Claims merge to the same in whatever order and however often, and those who weigh more are believed first."""

from __future__ import annotations

import itertools
import random

import pytest

from rbac.identities import Identity, IdentityKind
from server.recordings.uploads.owners import owner_key
from server.state.session_claims import MAX_NAMES, NOBODY, Claim, Speaker, Voice, identity_digest, settled


def random_claim(randomness: random.Random) -> Claim:
    def said() -> tuple[int, int, str] | None:
        return randomness.choice([None, (randomness.randrange(3), randomness.randrange(3), randomness.choice("abc"))])

    names = frozenset(
        f"{number:04}" for number in randomness.sample(range(2_000), randomness.choice([0, 2, MAX_NAMES]))
    )
    started = randomness.choice([None, (randomness.randrange(2), randomness.randrange(3))])
    ended_ms = randomness.choice([None, 0, 1, 2])
    return Claim(randomness.randrange(3), said(), said(), said(), said(), started, ended_ms, names, frozenset("xy"))


@pytest.mark.parametrize("seed", range(30))
def test_claims_merge_to_the_same_in_any_order_and_however_often(seed: int) -> None:
    randomness = random.Random(seed)
    one, two, three = (random_claim(randomness) for _ in range(3))
    whole = one.merged(two).merged(three)
    for first, second, third in itertools.permutations([one, two, three]):
        assert first.merged(second).merged(third) == whole
        assert first.merged(second.merged(third)) == whole
        assert whole.merged(first) == whole
    assert Claim.decode(whole.encode()) == whole


@pytest.mark.parametrize("seed", range(30))
def test_what_is_settled_doesnt_depend_on_the_order_of_claims(seed: int) -> None:
    randomness = random.Random(seed)
    claims = [(randomness.choice(list(Voice)), random_claim(randomness)) for _ in range(4)]
    expected = settled(claims)
    assert all(settled(some) == expected for some in itertools.permutations(claims))


ENDED = Claim(5, kind=(0, 5, "ssh"), user=(0, 5, "forged"), ended_ms=5)
BEGUN = Claim(1, kind=(1, 1, "ssh"), user=(1, 1, "true"), started=(0, 1))


@pytest.mark.parametrize(
    ("weaker", "stronger", "user", "ended_ms"),
    [
        (Voice.OTHER, Voice.COMPONENT, "true", None),
        (Voice.OTHER, Voice.VOUCHED, "true", None),
        (Voice.COMPONENT, Voice.VOUCHED, "true", 5),
        (Voice.COMPONENT, Voice.COMPONENT, "forged", 5),
    ],
)
def test_those_who_weigh_more_are_believed_first_and_others_than_components_only_alone(
    weaker: Voice, stronger: Voice, user: str, ended_ms: int | None
) -> None:
    found = settled([(weaker, ENDED), (stronger, BEGUN)])
    assert found is not None
    assert found.user is not None
    assert (found.user[2], found.ended_ms, found.begun_ms) == (user, ended_ms, 1)


def test_without_claims_nothing_is_settled() -> None:
    assert settled([]) is None
    assert settled([(Voice.OTHER, ENDED)]) == ENDED


def test_the_component_that_uploaded_the_recording_weighs_more_than_others_and_less_than_a_proxy() -> None:
    who = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "anchor", "5e")
    speaker = Speaker(identity_digest(*who.key), is_component=True, vouches=False)
    assert speaker.voice(None) is speaker.voice("another") is Voice.COMPONENT
    assert speaker.voice(owner_key(who)) is Voice.UPLOADER
    assert speaker._replace(vouches=True).voice(owner_key(who)) is Voice.VOUCHED
    assert NOBODY.voice(owner_key(who)) is Voice.OTHER
    assert speaker._replace(is_component=False).voice(owner_key(who)) is Voice.OTHER, "a user may upload anybody's"
