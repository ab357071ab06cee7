"""Eight virtual CPU devices for every test, so that layouts can be compared on any machine."""

import gc
import os

# Compiling is most of what the tests do, so LLVM's optimizations cost more than they save.
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis  # noqa: E402
import jax  # noqa: E402

# Property tests compile; how long that takes says nothing about the property.
hypothesis.settings.register_profile("gen_jax", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("gen_jax")
jax.config.update("jax_default_matmul_precision", "float32")

# Tracing makes millions of objects that stay in caches; to look through them as often as is usual takes a fifth of the
# time.
gc.set_threshold(100_000, 20, 10)
