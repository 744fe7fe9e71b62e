"""What is asked of a part without using it: is it one, is there what it needs, where does it work?"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
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
PRECISION_NAME = "[a-z0-9][a-z0-9._-]{0,63}"


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
    """Raise TypeError where a part lacks what the planner reads, has it in another type, or declares what cannot be."""
    for faults in (of_words, of_environment, of_model, of_blocks, of_options, of_precisions, of_figures):
        if fault := next(faults(part), None):
            raise TypeError(f"{type(part).__name__}.{fault}")


# What follows yields what is wrong, the attribute first; whoever asks takes the first and goes no further.


def of_words(part: Part) -> Iterator[str]:
    """Names and formats: texts, and tuples of such."""
    words = {
        "model": ("produces", "task"),
        "exporter": ("produces",),
        "quantizer": ("precision",),
        "runtime": ("device", *(("emulated",) if getattr(part, "emulated", None) is not None else ())),
        "pass": (),
    }
    for attribute in ("name", *words[part.kind]):
        if not isinstance(getattr(part, attribute, None), str):
            yield f"{attribute} must be a string"
    if part.kind == "pass" and part.name in NAMES:
        yield f"name: {part.name} is a pass of ecgedge itself"
    of_kind: dict[str, tuple[str, ...]] = {"model": ("build_options", "heeds"), "pass": ()}
    tuples = ["needs", "libraries", *of_kind.get(part.kind, ("accepts",))]
    if part.kind in ("exporter", "runtime") or getattr(part, "wants", None) is not None:
        tuples.append("wants")
    for attribute in tuples:
        value = getattr(part, attribute, None)
        if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
            yield f"{attribute} must be a tuple of strings, it is {value!r}"
    refused = getattr(part, "refuses", {})
    if not isinstance(refused, Mapping) or not all(isinstance(word, str) for pair in refused.items() for word in pair):
        yield f"refuses must map precisions to reasons, it is {refused!r}"


def of_environment(part: Part) -> Iterator[str]:
    """That it is a name, of a part that may work elsewhere."""
    if part.environment is None:
        return
    if not isinstance(part.environment, str) or not environments.NAME.fullmatch(part.environment):
        yield f"environment must be a name of small letters, digits, - and _, it is {part.environment!r}"
    if part.kind in ("model", "pass"):
        told = f"a {part.kind} works in that of ecgedge: only exporters, quantizers and runtimes have their own"
        yield f"environment: {told}"


def of_model(part: Part) -> Iterator[str]:
    """That a model's leads are a number or any, and what it says of recipes is of such."""
    if not isinstance(part, Model):
        return
    for attribute in ("leads", "min_length"):
        value = getattr(part, attribute)
        if not (value is None and attribute == "leads") and (type(value) is not int or value < 1):
            yield f"{attribute} must be a whole number of at least 1, it is {cut(repr(value))}"
    known = {field.name for field in fields(Recipe)}
    if not isinstance(part.recipe, Mapping):
        yield f"recipe must map fields of a recipe to values, it is {part.recipe!r}"
    for attribute, more in (("recipe", set()), ("build_options", set()), ("heeds", {ANY})):
        if strange := [name for name in getattr(part, attribute) if name not in known | more]:
            yield f"{attribute} names {strange[0]!r}; a recipe has {', '.join(sorted(known))}"


def of_blocks(part: Part) -> Iterator[str]:
    """That the blocks of calls that a runtime asks for can be timed."""
    blocks = getattr(part, "blocks", None)
    if blocks is None:
        return
    if not isinstance(blocks, Blocks):
        yield f"blocks must be ecgedge.Blocks or None, it is {cut(repr(blocks))}"
    for name, (least, most) in (("calls", CALLS), ("rounds", ROUNDS)):
        value = getattr(blocks, name)
        if value is not None and (type(value) is not int or not least <= value <= most):
            yield f"blocks: {name} must be a whole number from {least} to {most:,}, it is {cut(repr(value))}"
    pause = blocks.pause_s
    if type(pause) not in (int, float) or not 0 <= pause <= MOST_PAUSE:
        yield f"blocks: pause_s must be seconds from 0 to {MOST_PAUSE:,}, it is {cut(repr(pause))}"
    if type(blocks.reload) is not bool:
        yield f"blocks: reload must be True or False, it is {cut(repr(blocks.reload))}"


def declared(part: Part, attribute: str, kind: type, names: str, letters: str) -> Iterator[str]:
    """That what a part declares is a tuple of such, each with a name of its own and a line of help.

    Args:
        names: what a name must match; ``letters``: the same in words.
    """
    found = getattr(part, attribute)
    if not isinstance(found, tuple) or not all(isinstance(each, kind) for each in found):
        yield f"{attribute} must be a tuple of ecgedge.{kind.__name__}, it is {found!r}"
    for each in found:
        if not isinstance(each.name, str) or not re.fullmatch(names, each.name):
            yield f"{attribute}: {each.name!r} must be a name of {letters}"
        if [one.name for one in found].count(each.name) > 1:
            yield f"{attribute}: {each.name} is there twice"
        if not isinstance(each.help, str) or not each.help.isprintable():
            yield f"{attribute}: the help of {each.name} must be one line"


def of_options(part: Part) -> Iterator[str]:
    """Options, of which none has a default that it cannot have."""
    yield from declared(part, "options", Option, FIGURE_NAME, "small letters, digits and _")
    for option in part.options:
        if option.type not in (bool, int, float, str):
            yield f"options: {option.name} must be of the type bool, int, float or str, not {option.type!r}"
        for value in (*option.choices, *([] if option.default is None else [option.default])):
            try:
                option.read(value, part.name)
            except EcgEdgeError as error:
                yield f"options: {error.message}; {error.hint}"


def of_precisions(part: Part) -> Iterator[str]:
    """Precisions, of which none is built in, and each claims types and a peak that there are."""
    yield from declared(part, "precisions", Precision, PRECISION_NAME, "small letters, digits, ., - and _")
    for each in part.precisions:
        if each.name in BUILT_IN:
            yield f"precisions: {each.name} is built in, and means {BUILT_IN[each.name].help}"
        for types in (each.weights, each.activations, (each.products,) if each.products else ()):
            if not isinstance(types, tuple) or not set(types) <= set(TYPES):
                yield f"precisions: {each.name} claims {types!r}, which are not all of {', '.join(TYPES)}"
        is_number = isinstance(each.cosine, int | float) and -1 <= each.cosine <= 1
        if each.cosine is not None and not is_number:
            yield f"precisions: {each.name} has the cosine {each.cosine!r}, which is no number from -1 to 1"
        if each.peak not in ("", *PEAKS):
            yield f"precisions: {each.name} has the peak {each.peak!r}, which is not one of {', '.join(PEAKS)}"


def of_figures(part: Part) -> Iterator[str]:
    """A runtime's figures, each in a unit and with a direction."""
    if not isinstance(part, Runtime):
        return
    yield from declared(part, "figures", Figure, FIGURE_NAME, "small letters, digits and _")
    for each in part.figures:
        if not re.fullmatch(UNIT_NAME, str(each.unit)):
            yield f"figures: {each.name} has the unit {each.unit!r}, which is no word of letters, / and %"
        if each.better not in BETTER:
            yield f"figures: better is {each.better!r} of {each.name}, and must be {' or '.join(BETTER)}"


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
