"""The first half of the story: from an integration to a connection test that passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.demo.places import ADMINISTRATOR
from tests.demo.story import Otherwise, Story
from tests.sandbox.running import Sandbox

INTEGRATION: Final = "production"
ACCOUNT: Final = "123456789012"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/extaudit"
AWS: Final = ("--aws-profile", ADMINISTRATOR)


@dataclass(frozen=True)
class Scene:
    """The story, the sandbox that it plays in, and where the service is."""

    story: Story
    sandbox: Sandbox
    address: str

    def issue(self, name: str, role: str, profile: str, *words: str) -> None:
        """Issue an identity, keep a profile for it, and wait until the service knows of it."""
        self.story.run("identity", "issue", name, "--role", role, "--out-dir", name)
        files = ("--ca", "data/identity/ca.crt", "--cert", f"{name}/{name}.crt", "--key", f"{name}/{name}.key")
        self.story.run("profile", "add", profile, "--address", self.address, *files, *words)
        self.story.until_known(profile)


def identity(scene: Scene) -> None:
    """Who does all this."""
    scene.story.chapter(
        "Who you are",
        """Alice is to set it up. The role editor, which comes with the service, may create, update, read and list
        integrations and external audit storages; her certificate says who she is and that she has it.""",
    )
    scene.issue("alice", "editor", "demo", "--use")
    scene.story.run("roles", "can", "create", "external_audit_storage", says=["allow"])


def integration(scene: Scene) -> None:
    """AWS comes to trust the service."""
    scene.story.chapter(
        "An integration with your AWS account",
        """An integration is a name for a role in your account that the service may assume. Creating it touches nothing
        in AWS.""",
    )
    scene.story.run("integrations", "create", INTEGRATION, "--role-arn", ROLE)
    scene.story.tell(
        """The next command does what AWS has to know, with the administrator's own credentials and on the
        administrator's machine: the OpenID Connect provider, and the role, which only a token that names this
        integration may assume."""
    )
    scene.story.run("integrations", "aws-setup", INTEGRATION, *AWS)


def draft(scene: Scene) -> None:
    """What it is to be."""
    scene.story.chapter(
        "A draft",
        """The draft says where everything will be. The service makes up names that nobody has; whoever has names of
        their own writes them into a file and applies it.""",
    )
    scene.story.run("storage", "generate", "--integration", INTEGRATION, says=["longterm", "transient"], lines=40)
    scene.story.tell("This is all that the role will ever be allowed to do:")
    scene.story.run("storage", "iam-policy", says=["ReadWriteSessionsAndEvents", "AllowAthenaQuery"])


def infrastructure(scene: Scene) -> None:
    """Building it."""
    scene.story.chapter(
        "The infrastructure",
        """The service plans it, and the administrator builds it. First what would be done: a dry run changes nothing,
        and ends with 1 because not all is as planned yet.""",
    )
    scene.story.run("storage", "bootstrap", "--dry-run", *AWS, code=1, says=["6 would create"])
    scene.story.tell("Now really. Everything is looked at first, and what is there already is left as it is.")
    scene.story.run("storage", "bootstrap", *AWS, says=["All is as planned", "6 created"], lines=40)
    scene.story.tell("A second run finds all as planned.")
    scene.sandbox.clear_calls()
    scene.story.run("storage", "bootstrap", *AWS, says=["All is as planned, and nothing was changed"], lines=40)
    _only_looked(scene)


def connection(scene: Scene) -> None:
    """Trying it."""
    scene.story.chapter(
        "The connection test",
        """Now the service itself goes there: it signs a token, assumes the role with it, and tries everything that it
        will need. In the long-term bucket nothing may be deleted, so writing is tried by an upload that is aborted.""",
    )
    scene.story.run(
        "storage", "test", says=["the connection test passed", " 0 failed, 0 warnings, 0 not checked"], lines=80
    )


def _only_looked(scene: Scene) -> None:
    """Whoever says that nothing was changed shows it."""
    asked = [call.operation for call in scene.sandbox.calls()]
    if changes := [operation for operation in asked if not operation.startswith(("Get", "Head", "List"))]:
        raise Otherwise(f"the second run sent {', '.join(changes)}")
    scene.story.tell(f"The sandbox has kept what it was asked: {len(asked)} calls, and each of them only reads.")


CHAPTERS: Final[tuple[Callable[[Scene], None], ...]] = (identity, integration, draft, infrastructure, connection)
