"""Which images were right: outcomes as text that survives a CSV, and as arrays over seeds.

A *cell* is what was done under one setting; its rows in a results frame differ in their seed only.
Such a row needs ``data_digest``, ``seed``, ``val`` (which images of the pool were validated) and
``right`` (which of those were classified correctly), the last two as `pack` writes them.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def pack(bits: ArrayLike) -> str:
    """Write bits as text: how many, a colon, and the bits in hexadecimal.

    The first bit is the highest one of the first digit, and zeros fill the last byte.
    ``[True, False, True]`` is ``"3:a0"``.
    """
    bits = np.asarray(bits, dtype=bool)
    return f"{bits.size}:{np.packbits(bits).tobytes().hex()}"


def unpack(text: str) -> np.ndarray:
    """Read the bits ``[N]`` that `pack` wrote.

    Raises:
        ValueError: text that `pack` does not write.
    """
    found = re.fullmatch(r"(\d+):((?:[0-9a-f]{2})*)", text) if isinstance(text, str) else None
    if found:
        count, digits = int(found[1]), np.frombuffer(bytes.fromhex(found[2]), dtype=np.uint8)
        bits = np.unpackbits(digits)[:count].astype(bool)
        if pack(bits) == text:
            return bits
    raise ValueError(f"bits: expected text such as '3:a0', as pack writes it, got {text!r}")


@dataclass(frozen=True)
class Outcomes:
    """One cell's outcomes over seeds and images."""

    data_digest: str
    seeds: tuple[int, ...]
    values: np.ndarray
    """``[seeds, images of the pool]``: 1 right, 0 wrong, NaN where not among that seed's val."""

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Outcomes":
        """Read the rows of one cell, one for each seed, in any order.

        Raises:
            ValueError: no rows, rows of several data sets, a repeated seed, bits that do not fit.
        """
        digests, seeds = rows.data_digest.unique(), rows.seed.tolist()
        if len(digests) != 1:
            raise ValueError(f"rows: expected one data_digest, got {digests.tolist()}")
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"rows: expected one row for each seed, got the seeds {seeds}")
        rows = rows.sort_values("seed")
        masks, hits = [unpack(text) for text in rows.val], [unpack(text) for text in rows.right]
        if len({mask.size for mask in masks}) > 1:
            raise ValueError(f"val: expected one pool size, got {[mask.size for mask in masks]}")
        values = np.full((len(masks), masks[0].size), np.nan)
        for row, mask, hit in zip(values, masks, hits, strict=True):
            if mask.sum() != hit.size:
                raise ValueError(
                    f"right: expected a bit for each of the {mask.sum()} images of val, "
                    f"got {hit.size}"
                )
            row[mask] = hit
        if (~np.isnan(values)).any(0).sum() < 2:
            raise ValueError("val: expected at least 2 images, as one has no spread")
        return cls(str(digests[0]), tuple(map(int, rows.seed)), values)

    def validated(self) -> np.ndarray:
        """The columns of ``values`` for images that any seed validated."""
        return self.values[:, ~np.isnan(self.values).all(0)]

    def minus(self, other: "Outcomes") -> np.ndarray:
        """Pair with another cell: 1 where only this one is right, -1 where only the other, else 0.

        Returns:
            ``[seeds, validated images]``, NaN where not among that seed's val.

        Raises:
            ValueError: cells of other data, other seeds, or other validation images.
        """
        for what, own, others in (
            ("data_digest", self.data_digest, other.data_digest),
            ("seeds", list(self.seeds), list(other.seeds)),
        ):
            if own != others:
                raise ValueError(
                    f"{what}: pairs need the same in both cells, got {own} and {others}"
                )
        for seed, own, others in zip(self.seeds, self.values, other.values, strict=True):
            if not np.array_equal(np.isnan(own), np.isnan(others)):
                raise ValueError(f"val: pairs need the same images in both, not so at seed {seed}")
        return self.validated() - other.validated()
