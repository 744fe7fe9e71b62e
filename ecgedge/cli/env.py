"""``ecgedge env``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.files import escape

if TYPE_CHECKING:
    from ecgedge.environments import Environment
    from ecgedge.plugins import Parts


@click.group()
def env() -> None:
    """Look after the environments of their own that plugins' parts work in, under ECGEDGE_ENVS or in the cache.

    \b
    ecgedge env ls
    ecgedge env create acme
    ecgedge env check
    """


@env.command()
@click.argument("name")
@click.option("--uv", is_flag=True, help="Install with uv instead of pip.")
@click.option("--force", is_flag=True, help="Make it anew, even where it is sound.")
def create(name: str, uv: bool, force: bool) -> None:
    """Make an environment from the locked requirements that its plugin ships; a sound one is left as it is.

    What one of its parts cannot do on this machine is told, and the others serve.

    \b
    ecgedge env create acme --uv
    """
    from ecgedge.environments import install

    parts = common.load_parts()
    environment = find(name, parts)
    if not force and (found := examine(environment, parts)).sound:
        told = f"environment {name} is sound; --force makes it anew"
    else:
        install.create(environment, uv, lambda what: common.say(f"installing {what}"))
        found = examine(environment, parts)
        told = f"environment {name} is ready: {environment.folder}"
    if not found.serves:
        told = f"environment {name} was made and does not serve: {(found.broken or found.unable)[0]}"
        raise EcgEdgeError(told, "tell the plugin's author" if found.broken else "its parts need another machine")
    for line in (told, *found.unable):
        common.say(line)


@env.command("ls")
def list_environments() -> None:
    """List the environments, made or not, and the parts that work in them.

    \b
    ecgedge env ls
    """
    from tabulate import tabulate

    from ecgedge import environments

    parts = common.load_parts()
    rows = []
    for name, one in parts.environments.items():
        served = ", ".join(f"{part.kind} {part.name}" for part in parts.in_environment(name))
        rows.append([name, one.trouble() or "ready", owner_of(name, parts), served])
    rows += [[path.name, "wanted by no plugin", "-", "-"] for path in environments.made()
             if path.name not in parts.environments]  # fmt: skip
    if rows:
        click.echo(tabulate(escape.cells(rows), ["name", "state", "plugin", "parts"]) + "\n")
    common.say(f"in {environments.root()}")


@env.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_context
def check(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Start environments and ask each part in them whether it can work.

    Exit code 1 where an environment is broken, or none of its parts can work on this machine.

    \b
    ecgedge env check
    """
    parts = common.load_parts()
    chosen = [find(name, parts) for name in names] or list(parts.environments.values())
    bad = 0
    for environment in chosen:
        found = examine(environment, parts)
        bad += not found.serves
        for told in (*(found.broken or [f"environment {environment.name} is sound"]), *found.unable):
            common.say(told)
    if not chosen:
        click.echo("no plugin has an environment of its own")
    ctx.exit(1 if bad else 0)


@env.command("rm")
@click.argument("name")
def remove(name: str) -> None:
    """Take an environment away, also one that no plugin wants any more.

    \b
    ecgedge env rm acme
    """
    from ecgedge import environments
    from ecgedge.environments import Environment, install

    parts = common.load_parts()
    known = {path.name: Environment(path.name, path) for path in environments.made()} | parts.environments
    if name not in known:
        raise unknown("environment", name, sorted(known))
    install.remove(known[name])
    common.say(f"removed {known[name].folder}")


def find(name: str, parts: Parts) -> Environment:
    """The environment of that name. Raises EcgEdgeError with those that plugins have."""
    if name not in parts.environments:
        raise unknown("environment", name, sorted(parts.environments))
    return parts.environments[name]


@dataclass(frozen=True)
class Findings:
    """What is wrong with an environment, a line each.

    Attributes:
        broken: what is the environment's own fault.
        unable: what its parts say that they cannot do on this machine.
        idle: every part of it says so.
    """

    broken: tuple[str, ...] = ()
    unable: tuple[str, ...] = ()
    idle: bool = False

    @property
    def sound(self) -> bool:
        """Whether another installation would not make it any better."""
        return not self.broken

    @property
    def serves(self) -> bool:
        """Whether some of its parts can work here."""
        return self.sound and not self.idle


def examine(environment: Environment, parts: Parts) -> Findings:
    """Look at an environment: as its files tell, else as its worker does."""
    from ecgedge.workers import availability

    if trouble := environment.trouble():
        return Findings(broken=(environment.reason(trouble),))
    asked = parts.in_environment(environment.name)
    troubles = availability.troubles_in(environment.name, asked, parts)
    told = {broken: tuple(f"{kind} {name}: {each.reason}" for (kind, name), each in troubles.items()
                          if each.broken == broken) for broken in (True, False)}  # fmt: skip
    return Findings(told[True], told[False], idle=len(told[False]) == len(asked))


def owner_of(name: str, parts: Parts) -> str:
    """The plugin that an environment is of."""
    part = parts.in_environment(name)[0]
    return str(parts.owners[part.kind, part.name])
