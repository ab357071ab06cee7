"""What a network's inner layers say of its input."""

from collections.abc import Mapping, Sequence

import flax.traverse_util
import jax

from gen_jax.errors import UserError, unknown
from gen_jax.nn.conditioning import Conditioned
from gen_jax.types import Cond, PyTree


def layer_outputs(
    network: Conditioned, variables: Mapping[str, PyTree], x: jax.Array, cond: Cond, layers: Sequence[str]
) -> list[jax.Array]:
    """The outputs [b, ...] of some layers of a conditional network, in the order of `layers`.

    layers: their names, as the network's parameters have them ("conv_1", "down_0/conv").

    Raises:
      UserError: no layers, or one that the network does not have, with those that it has.
    """
    if not layers:
        raise UserError("layers=(): name at least one layer, such as 'conv_1'")
    wanted = {("network", *layer.split("/")) for layer in layers}

    def kept(module, method: str) -> bool:
        return method == "__call__" and module.path in wanted

    _, found = network.apply(
        variables, x, cond, train=True, capture_intermediates=kept, mutable=["intermediates"]
    )  # as it sees them in training
    outputs = flax.traverse_util.flatten_dict(found.get("intermediates", {}), sep="/")
    for layer in layers:
        if f"network/{layer}/__call__" not in outputs:
            tree = flax.traverse_util.flatten_dict(variables["params"].get("network", {}), sep="/")
            known = {name.rpartition("/")[0] for name in tree}
            raise unknown(f"layer of the {type(network.network).__name__}", layer, known)
    return [outputs[f"network/{layer}/__call__"][0] for layer in layers]
