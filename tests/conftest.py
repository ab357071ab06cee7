"""Eight virtual CPU devices for every test, so that layouts can be compared on any machine."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax

# Property tests compile; how long that takes says nothing about the property.
hypothesis.settings.register_profile("gen_jax", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("gen_jax")
jax.config.update("jax_default_matmul_precision", "float32")
