"""Checks a data set: every fault at once, and what training will make of it.

    python -m gen_jax.data --source=image_folder --path=DIR --resolution=64

Exit status 0 if training would run on the data as given, 2 if it would refuse them.
"""

from absl import flags

from gen_jax import cli
from gen_jax.data.check import check
from gen_jax.errors import UserError

flags.DEFINE_string(
    "source",
    "image_folder",
    "the data set: image_folder, pairs, arrays, tfds, digits, shapes, gaussians_grid, gaussians_ring, mnist, "
    "stacked_mnist, cifar10",
)
flags.DEFINE_string("split", None, "only this split")
ARGUMENTS = (
    flags.DEFINE_string("path", None, "the folder, .tar, .zip or .npz"),
    flags.DEFINE_integer("resolution", None, "crop and resize to this size"),
    flags.DEFINE_integer("channels", None, "1 or 3"),
    flags.DEFINE_string("on_error", None, "refuse or skip broken files"),
    flags.DEFINE_string("of", None, "the embedded data that pairs are made of: digits or shapes"),
    flags.DEFINE_string("kind", None, "what their partners are: inverted, rotated or edges"),
    flags.DEFINE_boolean("paired", None, "whether the domains of pairs are shown together with their partners"),
    flags.DEFINE_string("direction", None, "AB or BA: from which domain of pairs to which"),
    flags.DEFINE_string("dataset", None, "the name in TensorFlow Datasets"),
    flags.DEFINE_string("data_dir", None, "where TensorFlow Datasets keeps its data"),
)


def main(argv: list[str]) -> None:
    """Prints the report. Raises UserError if training would refuse the data."""
    del argv
    given = {flag.name: flag.value for flag in ARGUMENTS if flag.value is not None}
    report = check(flags.FLAGS.source, flags.FLAGS.split, **given)
    print(report, flush=True)
    if not report.ok:
        raise UserError(report.refused)


if __name__ == "__main__":
    cli.run(main)
