"""Checkpoints: the whole TrainState (or a part of it), the data's position, and the run's config, by Orbax.

    DIR/1000/state, data        written by Orbax, in the background, and committed as one
    DIR/1000/sha256.json        written after the commit: a checkpoint whose files no longer match it is damaged

Restoring takes the newest checkpoint that is whole and says which ones it had to pass over.
"""

import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from gen_jax.errors import UserError
from gen_jax.types import PyTree, TrainState

log = logging.getLogger("gen_jax")
DIGEST = "sha256.json"


class Checkpoints:
    """The checkpoints of one run, in `directory`. Use it in a `with` block, which waits for the last save."""

    def __init__(self, directory: Path, keep: int | None = None, read_only: bool = False):
        """keep: how many of the newest are kept; None: all. read_only: for sampling, also while the run goes on.

        Raises:
          UserError: read_only, and there is no such directory.
        """
        self.directory = Path(directory).absolute()
        if read_only and not self.directory.is_dir():
            raise UserError(f"there are no checkpoints in {directory.parent}: the run has not come to its first one")
        self._checkpointer = ocp.training.Checkpointer(
            self.directory,
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            # What a killed run had half written; not the one that a run beside this process is writing.
            cleanup_tmp_directories=not read_only,
        )
        self._saving: threading.Thread | None = None
        self._failure: BaseException | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wait()
        self._checkpointer.close()

    @property
    def steps(self) -> list[int]:
        """The steps at which there is a checkpoint, in order."""
        return sorted(c.step for c in self._checkpointer.checkpoints)

    def save(self, step: int, state: PyTree, data: Any = None, metadata: dict[str, Any] | None = None) -> None:
        """Copies the state off the devices and returns; the writing goes on in the background.

        data: the grain iterator, whose position is saved; None: none. metadata: anything that is JSON.

        Raises:
          UserError: the disk is full, or the directory cannot be written.
        """
        self.wait()
        try:
            # overwrite: a checkpoint of this step that is there was found damaged, or is of what was rolled back.
            # force: also where a later one is there, which Orbax would take for a reason to leave this one out.
            response = self._checkpointer.save_checkpointables_async(
                step, _checkpointables(state, data), custom_metadata=metadata, overwrite=True, force=True
            )
        except OSError as error:
            raise UserError(f"cannot write checkpoint {step} in {self.directory}: {error}") from error
        if response is not None:
            self._saving = threading.Thread(target=self._finish, args=(step, response))
            self._saving.start()

    def wait(self) -> None:
        """Waits until the last save is on disk."""
        if self._saving is not None:
            self._saving.join()
            self._saving = None
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise UserError(f"cannot write a checkpoint in {self.directory}: {failure}") from failure

    def _finish(self, step: int, response: Any) -> None:
        try:
            response.result()
            path = self.directory / str(step)
            partial = path / (DIGEST + ".tmp")
            partial.write_text(json.dumps(_digests(path)))
            partial.rename(path / DIGEST)
        except BaseException as error:  # raised in the thread that asks for it, by wait()
            self._failure = error

    def restore(self, abstract: PyTree, data: Any = None, step: int | None = None):
        """The newest whole checkpoint (or that of `step`): (step, state, metadata), or None where there is none.

        Args:
          abstract: the state's shapes, dtypes and shardings (jax.ShapeDtypeStruct); leaves that are `SKIP` are not
            read. The number of devices may differ from the one at the time of saving.
          data: the grain iterator to set to the saved position; None leaves it unread.

        Raises:
          UserError: there are checkpoints, and none can be read; or none at `step`.
        """
        self._check_known(step)
        failures = []
        for at in [step] if step is not None else reversed(self.steps):
            try:
                _verify(self.directory / str(at))
                loaded = self._checkpointer.load_checkpointables(at, _checkpointables(abstract, data))
                restored = at, loaded["state"], self._metadata(at)
            except Exception as error:  # whatever is wrong with it, an older one may be whole
                failures.append(f"{at} ({' '.join(str(error).split())[:200]})")
                continue
            for failure in failures:
                log.warning("checkpoint in %s is damaged and passed over: %s", self.directory, failure)
            return restored
        if failures:
            raise UserError(
                f"no checkpoint in {self.directory} can be read: {'; '.join(failures)}. "
                "Move the directory away to start anew"
            )
        return None

    def restore_model(self, shapes: TrainState, sharding: jax.sharding.Sharding, step: int | None = None):
        """(step, state) of the newest whole checkpoint, or that of `step`, for use: the state has no optimizer.

        Raises:
          UserError: as restore does, and where there is no checkpoint yet.
        """
        wanted = abstract_like(shapes, sharding)
        found = self.restore(wanted.replace(opt=jax.tree.map(lambda _: SKIP, wanted.opt)), step=step)
        if found is None:
            raise UserError(f"there is no checkpoint in {self.directory} yet")
        return found[0], found[1].replace(opt={})

    def describe(self, step: int | None = None) -> dict[str, Any]:
        """The metadata of the newest checkpoint that has readable ones (or of that of `step`).

        Raises:
          UserError: there is none.
        """
        self._check_known(step)
        failures = []
        for at in [step] if step is not None else reversed(self.steps):
            try:
                return self._metadata(at)
            except Exception as error:  # restore() passes over it too, and says so
                failures.append(f"{at} ({' '.join(str(error).split())[:200]})")
        raise UserError(f"no checkpoint in {self.directory} can be read: {'; '.join(failures) or 'there is none'}")

    def _check_known(self, step: int | None) -> None:
        if step is not None and step not in self.steps:
            known = ", ".join(map(str, self.steps)) or "none"
            raise UserError(f"no checkpoint at step {step} in {self.directory}; those there are: {known}")

    def _metadata(self, step: int) -> dict[str, Any]:
        # Orbax takes metadata that it cannot read for empty.
        _verify(self.directory / str(step), "_CHECKPOINT_METADATA")
        return dict(self._checkpointer.metadata(step).custom_metadata)


SKIP = ocp.PLACEHOLDER


def abstract_like(state: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
    """The shapes and dtypes of `state` (arrays or shapes), laid out by `sharding`."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state)


def _checkpointables(state: PyTree, data: Any) -> dict[str, Any]:
    return {"state": state} | ({} if data is None else {"data": data})


def _digests(path: Path, pattern: str = "*") -> dict[str, str]:
    """sha256 by file, for all files below path of such a name but the digests' own."""
    files = [f for f in sorted(path.rglob(pattern)) if f.is_file() and not f.name.startswith(DIGEST)]
    return {str(file.relative_to(path)): _digest(file) for file in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, pattern: str = "*") -> None:
    """Raises ValueError where a file of the checkpoint, of such a name, is not what was written."""
    if not (path / DIGEST).exists():
        return  # the run was stopped between the commit and the digest; Orbax's commit says that it is whole
    now, then = _digests(path, pattern), json.loads((path / DIGEST).read_text())
    changed = [name for name in then if Path(name).match(pattern) and now.get(name) != then[name]]
    if changed:
        raise ValueError(f"{len(changed)} of {len(then)} files are missing or changed, {changed[0]} for one")
