"""Which image of a folder belongs to which split and class."""

import dataclasses

from gen_jax.data.files import Files
from gen_jax.data.images import EXTENSIONS
from gen_jax.errors import UserError, unknown

TEST_NAMES = ("test", "val", "valid", "validation")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The images of `files` by split.

    splits: per split the names and labels of its images, in order. A flat folder has label 0 everywhere, and no
      class_names.
    strays: per split, images beside the class folders, which therefore have no class.
    ignored: files that are no images by their names.
    """

    splits: dict[str, list[tuple[str, int]]]
    class_names: tuple[str, ...]
    strays: dict[str, list[str]]
    ignored: list[str]

    def split(self, path: str, split: str) -> list[tuple[str, int]]:
        """The images of one split; UserError where there is none of that name."""
        if split not in self.splits and split == "test":
            raise UserError(f"{path}: has no test split; put the images into {path}/train and {path}/test to have one")
        if split not in self.splits:
            raise unknown(f"split of {path}", split, self.splits)
        return self.splits[split]

    def empty_classes(self, split: str) -> list[str]:
        """The classes of which the split has no image."""
        used = {label for _, label in self.splits[split]}
        return [name for label, name in enumerate(self.class_names) if label not in used]


def read_layout(files: Files) -> Layout:
    """Finds splits and classes from the names of files and folders.

    A single folder around everything is passed over. If the first level is train/ and test/ (or val/), those are the
    splits; otherwise everything is train. Below, each folder is a class with all that is nested in it; images without
    any folder beside them are a data set without labels.

    Raises:
      UserError: no image at all.
    """
    images = [n for n in files.names if n.lower().endswith(EXTENSIONS)]
    if not images:
        found = f"{len(files.names)} files, none of them an image" if files.names else "empty"
        raise UserError(f"{files.path}: {found}; expected {', '.join(EXTENSIONS)}")
    ignored = [n for n in files.names if not n.lower().endswith(EXTENSIONS)]
    root = _skip_wrapping(images, files.folders)
    roots = _split_roots(root, images, files.folders)
    inside = {s: [(n, n[len(r) :].partition("/")) for n in images if n.startswith(r)] for s, r in roots.items()}
    flat = not any(slash for members in inside.values() for _, (_, slash, _) in members)
    class_names = [] if flat else sorted({c for r in roots.values() for c in _folders_in(r, files.folders)})
    label = {name: i for i, name in enumerate(class_names)}
    splits = {s: [(n, label.get(first, 0)) for n, (first, slash, _) in m if slash or flat] for s, m in inside.items()}
    strays = {s: [n for n, (_, slash, _) in m if not (slash or flat)] for s, m in inside.items()}
    return Layout(splits, tuple(class_names), strays, ignored)


def _folders_in(root: str, folders: frozenset[str]) -> set[str]:
    """The names of the folders directly in `root`, which is "" or ends with a slash."""
    return {f[len(root) :] for f in folders if f.startswith(root) and "/" not in f[len(root) :]}


def _skip_wrapping(images: list[str], folders: frozenset[str]) -> str:
    """The folder that holds the splits or classes: one around everything, as archives often have, is passed over."""
    root = ""
    while len(inside := _folders_in(root, folders)) == 1 and all("/" in n[len(root) :] for n in images):
        deeper = f"{root}{inside.pop()}/"
        below = _folders_in(deeper, folders)
        if len(below) < 2 and "train" not in {f.lower() for f in below}:
            break  # its images are those of the only class
        root = deeper
    return root


def _split_roots(root: str, images: list[str], folders: frozenset[str]) -> dict[str, str]:
    first = {f.lower(): f for f in _folders_in(root, folders)}
    loose = any("/" not in n[len(root) :] for n in images if n.startswith(root))
    if "train" not in first or loose or not set(first) <= {"train", *TEST_NAMES}:
        return {"train": root}
    roots = {"train": f"{root}{first['train']}/"}
    test = next((first[n] for n in TEST_NAMES if n in first), None)
    return roots | ({"test": f"{root}{test}/"} if test else {})
