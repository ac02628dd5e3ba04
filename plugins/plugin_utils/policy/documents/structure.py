# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Plain data against the words: errors become findings with line, code and hint, and what is left is still checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from ...model.errors import Place
from .nodes import Spot
from .problems import Problems, nearest
from .words import SharedWords, Words

Model = TypeVar("Model", bound=Words)

#: The last word on the way to a value decides the code; everything else is E-VALUE.
_CODES = {
    "tier": "E-TIER",
    "tiers": "E-TIER",
    "stage": "E-STAGE",
    "stages": "E-STAGE",
    "action": "E-ACTION",
    "actions": "E-ACTION",
    "mode": "E-MODE",
    "ingress": "E-MODE",
    "egress": "E-MODE",
    "services": "E-SERVICE",
    "management_ports": "E-SERVICE",
    "ip_lists": "E-IP-LIST",
    "addresses": "E-ADDRESS",
    "address": "E-ADDRESS",
    "controllers": "E-ADDRESS",
    "expires": "E-DATE",
    "timezone": "E-TIMEZONE",
    "subnet": "E-CIDR",
    "allow": "E-TEST",
    "deny": "E-TEST",
}
_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
#: What is left out to see whether the rest is right: (container, key).
_Step = str | int


def validated(model: type[Model], data: Any, spot: Spot, problems: Problems) -> Model | None:
    """The document, without its wrong parts; None when nothing usable is left.

    Every error is reported. Wrong parts are then taken out of `data` and of the nodes behind `spot`, so that the rest
    can be checked for what it means in the same run.
    """
    reported = False
    while True:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if not reported:
                for detail in details:
                    _report(model, cast("dict[str, Any]", detail), spot, problems)
                reported = True
            broken = [_broken(cast("dict[str, Any]", detail)) for detail in details]
            if () in broken:
                return None
            _take_out(broken, data, spot)


def _report(model: type[Words], detail: dict[str, Any], spot: Spot, problems: Problems) -> None:
    from .schema import words_at  # made for hints only

    path = tuple(detail["loc"])
    kind: str = detail["type"]
    about_key = bool(path) and path[-1] == "[key]"
    if about_key:
        path = path[:-1]
    parent = _spot(spot, path[:-1])
    name = str(path[-1]) if path else ""
    if kind in ("extra_forbidden", "invalid_key"):
        key = parent.odd_key() if kind == "invalid_key" else parent.key(name)
        valid = words_at(model, path[:-1])
        hint = nearest(key.written, valid) or _valid(valid)
        problems.error("E-KEY", f"{key.written!r} is not a word of {_where(path[:-1])}.", key.place, hint)
        return
    if kind == "missing":
        problems.error(
            "E-MISSING", f"{_where(path[:-1])} needs the key {name}.", parent.place, f"Add {name}: there is no default."
        )
        return
    here = parent.key(name) if about_key else _spot(spot, path)
    words = [step for step in path if isinstance(step, str)]
    code = "E-VALUE"
    if words:
        code = _CODES.get(words[-1]) or (_CODES.get(words[-2], code) if len(words) > 1 and words[0] in _CODES else code)
    message, hint = _explained(kind, detail, here)
    if code == "E-SERVICE" and type(detail["input"]) is int:
        hint = f"Write the protocol too: tcp/{here.written}."
    problems.error(code, f"{_where(path)} {message}.", here.place, hint)


def _explained(kind: str, detail: dict[str, Any], here: Spot) -> tuple[str, str]:
    value, context = detail["input"], detail.get("ctx", {})
    shown = "has no value" if value is None else f"is {_shown(value, here)}"
    if kind == "literal_error":
        words = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"{shown}, which is none of its words", nearest(str(value), words) or _valid(words)
    if kind == "string_type":
        if isinstance(value, bool):
            return f"{shown}, which YAML reads as true or false", f'Put quotes around it: "{here.written}".'
        if isinstance(value, (int, float)):
            return f"{shown}, which YAML reads as a number", f'Put quotes around it: "{here.written}".'
        return f"{shown}, but must be text", ""
    if kind in _EXPECTED:
        hint = f"Write [{here.written}]." if kind == "list_type" and isinstance(value, str) else ""
        return f"{shown}, but must be {_EXPECTED[kind]}", hint
    if value is None:
        return shown, "Write a value, or leave the key out."
    if kind == "too_short":
        return "is empty", "Name at least one."
    if kind == "string_pattern_mismatch":
        return f"{shown}, which is not a name", f"Names match {context['pattern']}"
    if kind == "string_too_long":
        return "is too long", f"At most {context['max_length']} characters."
    return f"{shown}: {detail['msg'][0].lower()}{detail['msg'][1:]}", ""


def _shown(value: Any, here: Spot) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...") if isinstance(value, str) else here.written


def _where(path: Iterable[_Step]) -> str:
    """
    >>> _where(("rulesets", 0, "rules", 2, "tier"))
    'rulesets[1].rules[3].tier'
    """
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "a policy document"


def _valid(words: Iterable[str]) -> str:
    return f"Valid: {', '.join(words)}."


def _spot(spot: Spot, path: Iterable[_Step]) -> Spot:
    for step in path:
        spot = spot[step]
    return spot


def _broken(detail: dict[str, Any]) -> tuple[_Step, ...]:
    """The smallest part that can be left out: a key, an entry, or for a missing key the mapping that lacks it."""
    path = tuple(detail["loc"])
    return path[:-1] if detail["type"] == "missing" or path[-1:] == ("[key]",) else path


def _take_out(paths: Iterable[tuple[_Step, ...]], data: Any, spot: Spot) -> None:
    wrong: dict[int, tuple[Any, Spot, set[_Step]]] = {}
    for path in paths:
        container, holder = data, spot
        for step in path[:-1]:
            container, holder = container[step], holder[step]
        wrong.setdefault(id(container), (container, holder, set()))[2].add(path[-1])
    for container, holder, steps in wrong.values():
        if isinstance(container, list):
            for step in sorted((step for step in steps if isinstance(step, int)), reverse=True):
                del container[step]
                del holder.node.value[step]
        else:
            for key in [key for key in container if key in steps or str(key) in steps]:
                del container[key]


def unusable(problems: Problems, place: Place) -> None:
    from .schema import words_at

    problems.error(
        "E-VALUE",
        "a policy document is a mapping.",
        place,
        f"Begin with one of: scope, {', '.join(words_at(SharedWords, ()))}.",
    )
