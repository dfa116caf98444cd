"""Images that a data set holds twice: exactly, or nearly so."""

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from studies.data import Dataset

HASHES = (imagehash.phash, imagehash.dhash, imagehash.whash)
DISTANCE = 6
"""Bits of 64 in which each of the hashes of near duplicates differs at most.

One hash alone is not enough: stripes of all widths have the same low frequencies. With three,
every pair found among 560 textures and 455 flowers was the same picture or a recoloured one.
"""


def find_duplicates(dataset: Dataset) -> pd.DataFrame:
    """Find pairs of images that are the same picture, or nearly so.

    Near ones agree in three hashes of ``imagehash``: of frequencies, differences and wavelets.

    Returns:
        A row per pair: positions ``first`` and ``second``, ``kind`` (``"exact"`` or ``"near"``),
        ``across`` (one is for training and one for validation in the data set's own split), and
        ``other_class``.
    """
    pictures = (
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        for image in tqdm(dataset.images, f"compare {dataset.name}", leave=False, disable=None)
    )
    bits = np.array([[code(picture).hash.ravel() for code in HASHES] for picture in pictures])
    codes = np.packbits(bits, axis=-1).view(np.uint64)[..., 0]  # [images, hashes]
    pairs = [
        (i, i + 1 + offset)
        for i in range(len(codes) - 1)
        for offset in np.flatnonzero(
            (np.bitwise_count(codes[i + 1 :] ^ codes[i]) <= DISTANCE).all(1)
        ).tolist()
    ]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    digests = np.array(dataset.image_digests)
    return pd.DataFrame(
        {
            "first": first,
            "second": second,
            "kind": np.where(digests[first] == digests[second], "exact", "near"),
            "across": dataset.held_out[first] != dataset.held_out[second],
            "other_class": dataset.labels[first] != dataset.labels[second],
        }
    )


def describe_duplicates(dataset: Dataset) -> str:
    """Describe the duplicates in a sentence that names the first pairs."""
    pairs = find_duplicates(dataset)
    if pairs.empty:
        return f"{dataset.name}: no duplicates among {len(dataset.labels)} images."
    counts = pairs.kind.value_counts()
    found = " and ".join(f"{count} {kind}" for kind, count in counts.items())
    paths = getattr(dataset.images, "paths", ())
    named = "; ".join(
        f"{paths[row.first]} and {paths[row.second]}" if paths else f"{row.first} and {row.second}"
        for row in pairs.head(5).itertuples()
    )
    return (
        f"{dataset.name}: {found} duplicate pairs among {len(dataset.labels)} images, "
        f"{pairs.across.sum()} of them between training and validation images, "
        f"{pairs.other_class.sum()} between classes: {named}."
    )
