"""Eight virtual CPU devices for every test, so that layouts can be compared on any machine."""

import gc
import os
import tempfile

# Compiling is most of what the tests do, so optimizations cost more than they save. Commands that tests start inherit
# the flags.
FLAGS = (
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE",
)
os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *FLAGS))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# What one test compiled no other one has to: workers and commands that tests start inherit the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.TemporaryDirectory(prefix="gen_jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import hypothesis  # noqa: E402
import jax  # noqa: E402

# Property tests compile; how long that takes says nothing about the property.
hypothesis.settings.register_profile("gen_jax", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("gen_jax")
jax.config.update("jax_default_matmul_precision", "float32")

# Tracing makes millions of objects that stay in caches; to look through them as often as is usual takes a fifth of the
# time.
gc.set_threshold(100_000, 20, 10)
