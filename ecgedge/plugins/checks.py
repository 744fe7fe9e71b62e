"""What is asked of a part without using it: is it one, is there what it needs, where does it work?"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ecgedge import environments
from ecgedge.api.figures import BETTER, FIGURE_NAME, UNIT_NAME, Figure
from ecgedge.api.hookspecs import API_VERSION
from ecgedge.api.measured import Blocks
from ecgedge.api.options import Option
from ecgedge.api.parts import ANY, Model, Part, Runtime
from ecgedge.api.precisions import BUILT_IN, PEAKS, TYPES, Precision
from ecgedge.api.training import Recipe
from ecgedge.environments import Environment
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.measure.steadiness import LEAST
from ecgedge.passes import NAMES

CALLS, ROUNDS = (1, 1_000_000), (LEAST, 10_000)  # at least and at most, of the blocks that a runtime may ask for
MOST_PAUSE = 3600  # seconds


def new_environments(found: list[Part], known: dict[str, Environment]) -> dict[str, Environment]:
    """The environments that the parts of one plugin say they work in. Raises ValueError where one is another's."""
    mine: dict[str, Environment] = {}
    for part in found:
        if part.environment is None:
            continue
        environment = environment_of(part)
        if environment.name in known or mine.setdefault(environment.name, environment) != environment:
            taken = {**mine, **known}[environment.name]
            raise ValueError(f"environment {environment.name} has two locks, {taken.lock} and {environment.lock}")
    return mine


def environment_of(part: Part) -> Environment:
    """The environment that a part says it works in, whose lock lies beside the module of its class."""
    assert part.environment
    lock = Path(inspect.getfile(type(part))).with_name(f"{part.environment}.lock")
    return Environment(part.environment, lock)


def elsewhere(part: Part) -> str | None:
    """The environment that a part works in, where that is not this interpreter."""
    return part.environment if part.environment and part.environment not in environments.here() else None


def check_version(plugin: object) -> None:
    """Raise EcgEdgeError where a plugin says that it is written for another version of the hooks and kinds."""
    written = getattr(plugin, "ECGEDGE_API", API_VERSION)
    if written != API_VERSION:
        told = f"it is written for version {cut(repr(written))} of the plugin API, and this ecgedge has {API_VERSION}"
        raise EcgEdgeError(told, "install a release of it, or of ecgedge, that goes with the other")


def check_part(part: Part) -> None:
    """Raise TypeError where a part lacks what the planner reads, or has it in another type."""
    words = {
        "model": ("produces", "task"),
        "exporter": ("produces",),
        "quantizer": ("precision",),
        "runtime": ("device",),
        "pass": (),
    }
    for attribute in ("name", *words[part.kind]):
        if not isinstance(getattr(part, attribute, None), str):
            raise TypeError(f"{type(part).__name__}.{attribute} must be a string")
    is_name = isinstance(part.environment, str) and environments.NAME.fullmatch(part.environment)
    if part.environment is not None and not is_name:
        told = "must be a name of small letters, digits, - and _"
        raise TypeError(f"{type(part).__name__}.environment {told}, it is {part.environment!r}")
    if part.environment is not None and part.kind in ("model", "pass"):
        told = f"a {part.kind} is used where ecgedge is: give the environment to exporters and runtimes"
        raise TypeError(f"{type(part).__name__}.environment: {told}")
    of_kind: dict[str, tuple[str, ...]] = {"model": ("build_options", "heeds"), "pass": ()}
    tuples = ["needs", "libraries", *of_kind.get(part.kind, ("accepts",))]
    if part.kind == "pass" and part.name in NAMES:
        raise TypeError(f"{type(part).__name__}.name: {part.name} is a pass of ecgedge itself")
    if part.kind in ("exporter", "runtime") or getattr(part, "wants", None) is not None:
        tuples.append("wants")
    for attribute in tuples:
        value = getattr(part, attribute, None)
        if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
            raise TypeError(f"{type(part).__name__}.{attribute} must be a tuple of strings, it is {value!r}")
    check_recipe(part)
    refused = getattr(part, "refuses", {})
    if not isinstance(refused, Mapping) or not all(isinstance(word, str) for pair in refused.items() for word in pair):
        raise TypeError(f"{type(part).__name__}.refuses must map precisions to reasons, it is {refused!r}")
    check_blocks(part)
    check_options(part)
    check_precisions(part)
    if isinstance(part, Runtime):
        check_figures(part)


def check_recipe(part: Part) -> None:
    """Raise TypeError where what a model says of recipes is not of such, or names what none has."""
    if not isinstance(part, Model):
        return
    known, who = {field.name for field in fields(Recipe)}, type(part).__name__
    if not isinstance(part.recipe, Mapping):
        raise TypeError(f"{who}.recipe must map fields of a recipe to values, it is {part.recipe!r}")
    for attribute, more in (("recipe", set()), ("build_options", set()), ("heeds", {ANY})):
        if strange := [name for name in getattr(part, attribute) if name not in known | more]:
            raise TypeError(f"{who}.{attribute} names {strange[0]!r}; a recipe has {', '.join(sorted(known))}")


def check_blocks(part: Part) -> None:
    """Raise TypeError where the blocks that a runtime asks for are none."""
    blocks, who = getattr(part, "blocks", None), f"{type(part).__name__}.blocks"
    if blocks is None:
        return
    if not isinstance(blocks, Blocks):
        raise TypeError(f"{who} must be ecgedge.Blocks or None, it is {cut(repr(blocks))}")
    for name, (least, most) in (("calls", CALLS), ("rounds", ROUNDS)):
        value = getattr(blocks, name)
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise TypeError(f"{who}: {name} must be a whole number from {least} to {most:,}, it is {cut(repr(value))}")
    pause = blocks.pause_s
    if type(pause) not in (int, float) or not 0 <= pause <= MOST_PAUSE:
        raise TypeError(f"{who}: pause_s must be seconds from 0 to {MOST_PAUSE:,}, it is {cut(repr(pause))}")
    if type(blocks.reload) is not bool:
        raise TypeError(f"{who}: reload must be True or False, it is {cut(repr(blocks.reload))}")


def check_options(part: Part) -> None:
    """Raise TypeError where what a part declares as options is none, or one has a default that it cannot have."""
    who, options = f"{type(part).__name__}.options", part.options
    if not isinstance(options, tuple) or not all(isinstance(option, Option) for option in options):
        raise TypeError(f"{who} must be a tuple of ecgedge.Option, it is {options!r}")
    for option in options:
        if not re.fullmatch("[a-z][a-z0-9_]{0,63}", option.name):
            raise TypeError(f"{who}: {option.name!r} must be a name of small letters, digits and _")
        if option.type not in (bool, int, float, str):
            raise TypeError(f"{who}: {option.name} must be of the type bool, int, float or str, not {option.type!r}")
        if [each.name for each in options].count(option.name) > 1:
            raise TypeError(f"{who}: {option.name} is there twice")
        for value in (*option.choices, *([] if option.default is None else [option.default])):
            try:
                option.read(value, part.name)
            except EcgEdgeError as error:
                raise TypeError(f"{who}: {error.message}; {error.hint}") from None


def check_precisions(part: Part) -> None:
    """Raise TypeError where what a part declares as precisions is none, or one is built in or cannot be."""
    who, declared = f"{type(part).__name__}.precisions", part.precisions
    if not isinstance(declared, tuple) or not all(isinstance(each, Precision) for each in declared):
        raise TypeError(f"{who} must be a tuple of ecgedge.Precision, it is {declared!r}")
    for each in declared:
        if not isinstance(each.name, str) or not re.fullmatch("[a-z0-9][a-z0-9._-]{0,63}", each.name):
            raise TypeError(f"{who}: {each.name!r} must be a name of small letters, digits, ., - and _")
        if each.name in BUILT_IN:
            raise TypeError(f"{who}: {each.name} is built in, and means {BUILT_IN[each.name].help}")
        if [one.name for one in declared].count(each.name) > 1:
            raise TypeError(f"{who}: {each.name} is there twice")
        for types in (each.weights, each.activations, (each.products,) if each.products else ()):
            if not isinstance(types, tuple) or not set(types) <= set(TYPES):
                raise TypeError(f"{who}: {each.name} claims {types!r}, which are not all of {', '.join(TYPES)}")
        is_number = isinstance(each.cosine, int | float) and -1 <= each.cosine <= 1
        if each.cosine is not None and not is_number:
            raise TypeError(f"{who}: {each.name} has the cosine {each.cosine!r}, which is no number from -1 to 1")
        if each.peak not in ("", *PEAKS):
            raise TypeError(f"{who}: {each.name} has the peak {each.peak!r}, which is not one of {', '.join(PEAKS)}")
        if not isinstance(each.help, str) or not each.help.isprintable():
            raise TypeError(f"{who}: the help of {each.name} must be one line")


def check_figures(runtime: Runtime) -> None:
    """Raise TypeError where what a runtime declares as figures is none."""
    who, declared = f"{type(runtime).__name__}.figures", runtime.figures
    if not isinstance(declared, tuple) or not all(isinstance(each, Figure) for each in declared):
        raise TypeError(f"{who} must be a tuple of ecgedge.Figure, it is {declared!r}")
    for each in declared:
        if not re.fullmatch(FIGURE_NAME, str(each.name)):
            raise TypeError(f"{who}: {each.name!r} must be a name of small letters, digits and _")
        if [one.name for one in declared].count(each.name) > 1:
            raise TypeError(f"{who}: {each.name} is there twice")
        if not re.fullmatch(UNIT_NAME, str(each.unit)):
            raise TypeError(f"{who}: {each.name} has the unit {each.unit!r}, which is no word of letters, / and %")
        if each.better not in BETTER:
            raise TypeError(f"{who}: better is {each.better!r} of {each.name}, and must be {' or '.join(BETTER)}")
        if not isinstance(each.help, str) or not each.help.isprintable():
            raise TypeError(f"{who}: the help of {each.name} must be one line")


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def reason_of(error: BaseException) -> str:
    """Why a plugin is left out, in one line; of what we say ourselves also what to do about it."""
    if not isinstance(error, EcgEdgeError):
        return one_line(error)
    return " ".join("; ".join(filter(None, (error.message, error.hint))).split())[:300]


def missing(part: Part) -> str | None:
    """Why a part cannot work, in one line, as far as can be told without importing or starting anything; else None.

    One of its needs is not installed; or, for a part that works elsewhere, its environment is not there or not whole.
    """
    if elsewhere(part):
        environment = environment_of(part)
        trouble = environment.trouble()
        return trouble and environment.reason(trouble)
    for name in part.needs:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # of a package that should hold it
            found = None
        if found is None:
            return f"{name} is not installed"
    return None
