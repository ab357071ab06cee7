"""How every command starts and ends: flags in, one clear line and status 2 for a user's mistake."""

import sys
from collections.abc import Callable

from absl import app, flags, logging

from gen_jax.errors import UserError


def run(main: Callable[[list[str]], object]) -> None:
    """Parses the flags and calls `main`. Exit status: 0 all was done, 2 the user's mistake, 1 anything else."""
    try:
        app.run(_checked(main), flags_parser=_parse)
    except UserError as error:
        _stop(error)


def _parse(argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except UserError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        # ml_collections raises all of these for a mistyped --config.field=value or a config file that fails.
        raise UserError(_one_line(error)) from error
    # Orbax tells every step of a save at INFO; people asked for warnings, unless they gave --verbosity.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    if len(rest) > 1:
        raise UserError(f"unexpected argument '{rest[1]}': every option is a flag, --name=value (see --help)")
    return rest


def _checked(main: Callable[[list[str]], object]) -> Callable[[list[str]], None]:
    def call(argv: list[str]) -> None:
        try:
            main(argv)
        except UserError as error:
            _stop(error)
        except KeyboardInterrupt:
            print("stopped by the user; the same command again goes on from the last checkpoint", file=sys.stderr)
            sys.exit(130)

    return call


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split())


def _stop(error: UserError) -> None:
    print(f"gen_jax: {_one_line(error)}", file=sys.stderr)
    sys.exit(2)
