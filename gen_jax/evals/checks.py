"""What the metrics ask of their arrays; what does not hold is a UserError of one line."""

from collections.abc import Mapping

import numpy as np

from gen_jax.errors import UserError


def check_features(metric: str, minimum: int, sets: Mapping[str, np.ndarray]) -> None:
    """Raises UserError unless all sets, by what they are of, are finite floats [n, d], n >= minimum, d in common."""
    _check_counts(metric, minimum, sets)
    widths = {}
    for what, rows in sets.items():
        if rows.ndim != 2 or rows.dtype.kind != "f":
            raise UserError(f"{metric}: {what} are {rows.dtype} {list(rows.shape)}; needed: floats [n, d]")
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise UserError(f"{metric}: {int((~finite).sum())} of {len(rows)} {what} are not finite (NaN or infinite)")
        widths[what] = rows.shape[1]
    if len(set(widths.values())) > 1:
        given = ", ".join(f"{what} {d} wide" for what, d in widths.items())
        raise UserError(f"{metric}: {given}; take both from one feature network")


def check_images(metric: str, minimum: int, sets: Mapping[str, np.ndarray]) -> None:
    """Raises UserError unless all sets, by what they are, are uint8 [n, ...], n >= minimum, of one shape."""
    _check_counts(metric, minimum, sets)
    (first, like), *others = sets.items()
    for what, x in sets.items():
        if x.dtype != np.uint8:
            span = f" from {x.min():.4g} to {x.max():.4g}" if x.dtype.kind in "iuf" else ""
            raise UserError(f"{metric}: {what} are {x.dtype}{span}; needed: uint8, 0 to 255")
    for what, x in others:
        if x.shape[1:] != like.shape[1:]:
            raise UserError(
                f"{metric}: {first} of shape {list(like.shape)}, {what} of shape {list(x.shape)}; "
                "they must be of one size and number of channels"
            )


def check_pairs(metric: str, x: np.ndarray, real_x: np.ndarray) -> None:
    """Raises UserError unless image i of x [n, h, w, c] can be compared with image i of real_x [n, h, w, c]."""
    check_images(metric, 1, {"images": x, "originals": real_x})
    if x.ndim != 4 or len(x) != len(real_x):
        raise UserError(
            f"{metric} compares image i with original i, uint8 [n, h, w, c]; these are {list(x.shape)} and "
            f"{list(real_x.shape)}"
        )


def check_labels(metric: str, what: str, x: np.ndarray, label: np.ndarray | None) -> None:
    """Raises UserError unless there is one whole-numbered label [n] for each of x [n, ...]."""
    if label is None:
        raise UserError(f"{metric}: the {what} have no labels, and it needs them")
    if len(label) != len(x):
        raise UserError(f"{metric}: {len(x)} {what} and {len(label)} labels; they must agree")
    if label.ndim != 1 or label.dtype.kind not in "iu":
        raise UserError(
            f"{metric}: labels of the {what} are {label.dtype} {list(label.shape)}; needed: whole numbers [n]"
        )


def _check_counts(metric: str, minimum: int, sets: Mapping[str, np.ndarray]) -> None:
    for what, rows in sets.items():
        if len(rows) < minimum:
            raise UserError(f"{metric}: {len(rows)} {what}; needed: {minimum} or more")
