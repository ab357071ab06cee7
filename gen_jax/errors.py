"""Errors that are the user's to mend: each is one line that names the value, the known ones and the fix."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave. The commands print it as one line and exit with status 2."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a `name` that is none of the `known` ones, with the nearest, and all where they are not too many.

    >>> str(unknown("sampler", "Hein", ["Heun", "DDIM"]))
    "unknown sampler 'Hein': did you mean 'Heun'? Known: DDIM, Heun"
    """
    known = sorted(known)
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    hint = f"did you mean '{by_lower[near[0]]}'? " if near else ""
    if len(known) > 30:
        most = difflib.get_close_matches(str(name).lower(), by_lower, n=10, cutoff=0.0)
        return UserError(f"unknown {kind} '{name}': {hint}Near: {', '.join(by_lower[m] for m in most)}")
    return UserError(f"unknown {kind} '{name}': {hint}Known: {', '.join(known) or 'none'}")
