"""Runs commands one after another, each in a fork of a process that has imported the package already.

Importing is most of what a command does that ends with its user's mistake. Jobs come as lines of JSON on standard
input, {"module", "args", "env", "stdout", "stderr"}; the exit status of each goes to standard output, a line each.
Nothing is computed before a fork, so that a child's devices are its own, as its environment says.
"""

import importlib
import json
import os
import runpy
import sys
import traceback

COMMANDS = ("main", "sample", "evaluate", "compare", "data")


def play(job: dict) -> int:
    """As `python -m gen_jax.MODULE ARGS` does, in this process."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(job["env"])
    module = f"gen_jax.{job['module']}"
    sys.argv = [sys.modules.pop(module).__file__, *job["args"]]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for name in COMMANDS:
    importlib.import_module(f"gen_jax.{name}")
for line in sys.stdin:
    child = os.fork()
    if not child:
        status = play(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
