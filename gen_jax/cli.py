"""How every command starts and ends: flags in, one clear line and status 2 for a user's mistake."""

import errno
import importlib.util
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import absl.logging
from absl import app, flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_dict import placeholder

from gen_jax.errors import UserError, unknown

NEEDED = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def run(main: Callable[[list[str]], object], interrupted: str = "stopped") -> None:
    """Parses the flags and calls `main`. Exit status: 0 all was done, 2 the user's mistake, 1 anything else.

    interrupted: what a user is told who stopped it (Ctrl-C, status 130)."""
    try:
        app.run(_checked(main, interrupted), flags_parser=_parse)
    except UserError as error:
        _stop(error)


def define_config() -> None:
    """Defines --config=FILE.py[:variant] and, for every field that the config has, --config.FIELD=value."""
    config_flags.DEFINE_config_file("config", None, "The recipe: FILE.py, or FILE.py:variant.")
    flags.FLAGS["config"].parser = _ConfigParser()
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["config"])  # for --help


def load_config(path: str) -> ConfigDict:
    """The config that `get_config` of a file returns; "FILE.py:variant" calls get_config("variant").

    Raises:
      UserError: no such file (with the nearest), one that fails (with the line), or a variant that it does not know.
    """
    name, colon, variant = path.partition(":")
    file = Path(name)
    if not file.is_file():
        raise unknown("config file", name, map(str, {*Path("configs").rglob("*.py"), *file.parent.glob("*.py")}))
    try:
        module = _load(file)
        if not callable(get_config := getattr(module, "get_config", None)):
            raise UserError(f"{name} has no function get_config, so it is not a config file")
        if colon and not inspect.signature(get_config).parameters:
            raise UserError(f"unknown variant '{variant}': {name} has no variants, leave ':{variant}' out")
        if colon and variant not in (known := getattr(module, "VARIANTS", (variant,))):
            raise unknown(f"variant of {name}", variant, known)
        config = get_config(variant) if colon else get_config()
    except UserError:
        raise
    except Exception as error:  # whatever the user's file may raise
        raise UserError(_failure(file, error)) from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"{name}: get_config returned {type(config).__name__}, and a ConfigDict is needed")
    return _unshared(config).lock()


def _unshared(config: ConfigDict) -> ConfigDict:
    """A copy without shared sections: optim=dict(disc=adam, gen=adam) holds one dict, and setting either sets both."""
    fields = config.items(preserve_field_references=True)
    return ConfigDict({name: _unshared(value) if isinstance(value, ConfigDict) else value for name, value in fields})


class _ConfigParser(flags.ArgumentParser):
    """Loads the config file. That of ml_collections reports some failures as a traceback in one line, others never."""

    def parse(self, argument: str) -> ConfigDict:
        config = load_config(argument)
        for flag in flags.FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False):
            head = flag.partition("=")[0].lstrip("-").removeprefix("no")
            if flag.startswith("-") and head.startswith("config."):
                _prepare_field(config, head.removeprefix("config."))
        return config

    def flag_type(self) -> str:
        return "config file"


def _prepare_field(config: ConfigDict, field: str) -> None:
    """Lets a field that is None be set to anything. Raises UserError where the config has no such field as a.b.c."""
    at: Any = config
    holder: Any = None
    parts = field.partition("[")[0].split(".")
    for i, part in enumerate(parts):
        prefix = "".join(f"{p}." for p in parts[:i])
        if not isinstance(at, Mapping | ConfigDict):
            raise UserError(f"unknown config field '{field}': {prefix[:-1]} is {at!r} and has no fields")
        if prefix and not at:  # such as evals=dict(): nothing in it can be set alone
            raise UserError(
                f"unknown config field '{field}': {prefix[:-1]} is empty; give all of it, "
                f"--config.{prefix[:-1]}=\"{{'{part}': ...}}\""
            )
        if part not in at:
            raise unknown("config field", f"{prefix}{part}", (f"{prefix}{name}" for name in at))
        holder, at = at, at[part]
    if at is None:
        holder[parts[-1]] = placeholder(object)


def _load(file: Path) -> ModuleType:
    spec: Any = importlib.util.spec_from_file_location("config", file)
    if spec is None:
        raise UserError(f"{file} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _failure(file: Path, error: Exception) -> str:
    """What a config file raised and where. Its own "unknown variant ...", a ValueError, says enough as it is."""
    if isinstance(error, SyntaxError):
        return f"{file}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
    if isinstance(error, ValueError) and str(error).startswith("unknown variant"):
        return f"{file}: {error}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file.absolute()]
    return f"{file}{f', line {lines[-1]}' if lines else ''}: {type(error).__name__}: {error}"


def _parse(argv: list[str]) -> list[str]:
    if {"--help", "-help", "-h"} & set(argv[1:]):  # absl's own exits with status 1
        app.usage(shorthelp=True, writeto_stdout=True)
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        if error.flagname.startswith("config.") and "config" in flags.FLAGS:
            raise UserError(f"--{error.flagname} is given, and no config: --config=configs/quickstart.py") from error
        known = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        raise unknown("flag", f"--{error.flagname}", (f"--{flag.name}" for flag in known)) from error
    except flags.IllegalFlagValueError as error:
        raise UserError(_illegal(error)) from error
    except (flags.Error, AttributeError, IndexError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(_one_line(error)) from error  # ml_collections raises all of these for a mistaken override
    _quiet()
    if len(rest) > 1:
        raise UserError(f"unexpected argument '{rest[1]}': every option is a flag, --name=value (see --help)")
    return rest


def _quiet() -> None:
    """Warnings are one line each, as errors are. What Orbax has to say by absl, our own errors and warnings say."""
    if not flags.FLAGS["verbosity"].present:
        absl.logging.set_verbosity(absl.logging.WARNING)
        absl.logging.get_absl_logger().setLevel(logging.CRITICAL)
    ours, handler = logging.getLogger("gen_jax"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("gen_jax: %(levelname)s: %(message)s"))
    ours.addHandler(handler)
    ours.propagate = False


def _illegal(error: flags.IllegalFlagValueError) -> str:
    """absl's 'flag --num=abc: invalid literal for int() with base 10: ...', with what is needed instead."""
    text = _one_line(error).removeprefix("flag ")
    name, _, value = text.partition(": ")[0].partition("=")
    needed = NEEDED.get(flags.FLAGS[name.lstrip("-")].flag_type())
    return f"{name}={value}: {needed} is needed" if needed else text


def _checked(main: Callable[[list[str]], object], interrupted: str) -> Callable[[list[str]], None]:
    def call(argv: list[str]) -> None:
        try:
            main(argv)
        except UserError as error:
            _stop(error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            _stop(UserError(f"the disk is full{f', at {error.filename}' if error.filename else ''}: free some of it"))
        except KeyboardInterrupt:
            print(f"gen_jax: {interrupted}", file=sys.stderr)
            sys.exit(130)

    return call


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split())


def _stop(error: UserError) -> None:
    print(f"gen_jax: {_one_line(error)}", file=sys.stderr)
    sys.exit(2)
