"""Do images show what their texts say? Of embeddings by a network of both, such as CLIP's. More is better."""

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features

VERSION = 1


def clip_score(image_embedding: np.ndarray, text_embedding: np.ndarray) -> dict[str, float]:
    """Mean of max(100 cos(image, text), 0) over pairs, Hessel et al. 2021 (arXiv:2104.08718, sec. 3; there w = 2.5).

    Args:
      image_embedding, text_embedding: float [n, d], image i beside text i. The library has no weights of CLIP, so this
        is a function of embeddings made elsewhere and no metric that gen_jax.evaluate computes. Name the network with
        the figure: those of different networks don't compare.

    Raises:
      UserError: other numbers of images than of texts, other widths, embeddings that are not finite or 0 throughout.
    """
    check_features("clip_score", 1, {"images' embeddings": image_embedding, "texts' embeddings": text_embedding})
    if len(image_embedding) != len(text_embedding):
        raise UserError(f"clip_score: {len(image_embedding)} images and {len(text_embedding)} texts; they go in pairs")
    image, text = image_embedding.astype(np.float64), text_embedding.astype(np.float64)
    lengths = np.linalg.norm(image, axis=1) * np.linalg.norm(text, axis=1)
    if not lengths.all():
        raise UserError(f"clip_score: {int((lengths == 0).sum())} of {len(lengths)} pairs have an embedding of zeros")
    cosine = (image * text).sum(axis=1) / lengths
    return {"clip_score": float(np.maximum(100 * cosine, 0).mean())}
