"""How sure a difference is: intervals, corrected p values, and what to recommend.

Frames have a row per cell and seed, with the columns that `outcomes` describes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from studies.outcomes import Outcomes

LEVEL = 0.05
# Photographs of one class resemble each other, so that a head's hits come in groups, and vary more
# than the binomial distribution says: of 600 linear heads on shuffled labels (200 each of flowers,
# textures and satellite scenes) 8 to 12 % had p < 0.05, and 0.5 % had p < 0.001.
CHANCE_LEVEL = 0.001
RESAMPLES = 9999
BATCH = 2**18  # indices drawn at once: a few MB, which the processor's cache holds
BETTER, WORSE, UNSETTLED = "better", "worse", "not settled"
HOW_SURE = (
    "Differences are between two settings on the same images and the same seeds.",
    "Intervals are of 95 %, each for itself. Those of a difference are, with several seeds, the "
    "wider on each side of a bootstrap over images and seeds (Owen 2007) and of a t interval from "
    "the variances between images and between seeds (Cameron, Gelbach & Miller 2011; Satterthwaite "
    "1946), as few seeds make a bootstrap too narrow. Those of a single top-1 are the wider of "
    "that bootstrap and of Wilson's (1927).",
    "The p values are from that t statistic; with one seed, from McNemar's exact test, which "
    "speaks for the two networks that were trained, not for the next two.",
    "How much seeds vary is learnt from all comparisons of a family together, as three seeds say "
    "too little of it.",
    "A difference is called better or worse where its p value, corrected by Holm's method for all "
    f"comparisons beside it, is below {LEVEL} and its interval does not hold 0. All others are "
    "not settled: these images and seeds do not tell, which does not say that there is none.",
)
"""What a report should say about how its differences were judged."""


@dataclass(frozen=True)
class Difference:
    """Top-1 of one cell less that of another, on the same images and seeds.

    Args:
        points: in percentage points; ``low`` and ``high`` are the ends of its 95 % interval.
        p: two-sided, not corrected for other comparisons.
        n_images: images that were validated, each counted once.
        lost: pairs of image and seed that only the other cell has right.
        gained: pairs that only this cell has right.
    """

    points: float
    low: float
    high: float
    p: float
    n_images: int
    n_seeds: int
    lost: int
    gained: int


def _merge_seeds(values: np.ndarray) -> np.ndarray:
    """One row ``[1, images]`` where seeds cannot tell anything apart, else the same rows.

    A deterministic fit on a fixed split repeats itself, and repetition is no evidence.
    """
    repeated = np.array_equal(values, np.broadcast_to(values[:1], values.shape), equal_nan=True)
    constant = np.nanmin(values) == np.nanmax(values)
    return np.nanmean(values, axis=0, keepdims=True) if repeated or constant else values


def _bootstrap(values: np.ndarray, resamples: int, rng_seed: int) -> np.ndarray:
    """The 95 % percentile interval of the mean, with seeds and images drawn apart (Owen 2007)."""
    if len(values) == 1:
        values = np.repeat(values, 2, axis=0)  # SciPy wants two, and two equal seeds are one
    known = ~np.isnan(values)
    filled, overall = np.where(known, values, 0), np.nanmean(values)

    def mean(seeds: np.ndarray, images: np.ndarray, axis: int) -> np.ndarray:
        # Indices [..., seeds] and [..., images] -> [...]
        sums = np.stack([row[images].sum(axis) for row in filled], axis=-1)
        counts = np.stack([row[images].sum(axis) for row in known], axis=-1)
        total = np.take_along_axis(sums, seeds, axis=-1).sum(-1)
        count = np.take_along_axis(counts, seeds, axis=-1).sum(-1)
        # Small pools with resampled splits have draws in which no image meets its seed.
        return np.where(count, total / np.maximum(count, 1), overall)

    found = stats.bootstrap(
        tuple(np.arange(n) for n in values.shape),
        mean,
        n_resamples=resamples,
        batch=max(1, BATCH // values.shape[1]),
        vectorized=True,
        confidence_level=1 - LEVEL,
        method="percentile",
        rng=np.random.default_rng(rng_seed),
    )
    return np.array(found.confidence_interval)


@dataclass(frozen=True)
class _Spread:
    """The mean of outcomes ``[seeds, images]``, and what its squared standard error consists of.

    Counted are all seeds, images and pairs of both that have an outcome.
    """

    mean: float
    by_seed: float
    by_image: float
    by_pair: float
    seeds: int
    images: int
    pairs: int

    @classmethod
    def of(cls, values: np.ndarray) -> "_Spread":
        known = ~np.isnan(values)
        mean, pairs = np.nanmean(values), known.sum()
        share = np.where(known, values - mean, 0) / pairs
        seeds, images = values.shape
        by_seed = seeds / (seeds - 1) * (share.sum(1) ** 2).sum()
        by_image = images / (images - 1) * (share.sum(0) ** 2).sum()
        by_pair = pairs / (pairs - 1) * (share**2).sum()
        return cls(float(mean), by_seed, by_image, by_pair, seeds, images, int(pairs))

    def judge(self, ratio: float, freedom: float) -> tuple[np.ndarray, float]:
        """The t interval ``[low, high]`` of the mean, and the two-sided p that it is 0.

        The variance is that between seeds and that between images, less that of single pairs,
        which both count, and never less than one of the three (Cameron, Gelbach & Miller 2011).
        The degrees of freedom are Satterthwaite's (1946).
        The arguments are those of `_pool`.
        """
        by_seed = ratio * self.by_pair
        parts = (
            (by_seed, freedom),
            (self.by_image, self.images - 1),
            (self.by_pair, self.pairs - 1),
        )
        variance = max(by_seed + self.by_image - self.by_pair, *(part for part, _ in parts))
        degrees = variance**2 / sum(part**2 / n for part, n in parts)
        error = np.sqrt(variance)
        reach = error * stats.t.ppf(1 - LEVEL / 2, degrees)
        p = 2 * stats.t.sf(abs(self.mean) / error, degrees)
        return np.array([self.mean - reach, self.mean + reach]), float(p)


def _pool(family: Sequence[_Spread]) -> tuple[float, float]:
    """Estimate how much more seeds vary than single pairs, over a family, and its freedom.

    Two or three seeds say next to nothing of their own variance: alone, they would call small
    differences settled by luck, and leave large ones open.
    The family's k differences have a reference in common. Where they are independent but for that,
    and vary alike, the mean of their k variances has the degrees of freedom given here, by its
    first two moments: seeds - 1 for one difference, four times as many for very many.
    """
    ratio = sum(spread.by_seed for spread in family) / sum(spread.by_pair for spread in family)
    seeds = min(spread.seeds for spread in family)
    return ratio, 4 * (seeds - 1) / (1 + 3 / len(family))


def _count(change: np.ndarray) -> tuple[int, int]:
    """Count the outcomes that were lost, and gained."""
    return int((change == -1).sum()), int((change == 1).sum())


def _one_seed(change: np.ndarray) -> tuple[np.ndarray, float]:
    """The interval ``[low, high]`` of the mean change that goes with McNemar's exact p, and p.

    Given how many images changed, the share of those gained is binomial (Clopper & Pearson 1934).
    """
    lost, gained = _count(change)
    changed = lost + gained
    test = stats.binomtest(gained, changed)
    ends = np.array(test.proportion_ci(1 - LEVEL))
    return (2 * ends - 1) * changed / change.size, float(test.pvalue)


def _wider(*intervals: Sequence[float]) -> tuple[float, float]:
    return float(min(low for low, _ in intervals)), float(max(high for _, high in intervals))


def compare(
    a: pd.DataFrame, b: pd.DataFrame, resamples: int = RESAMPLES, rng_seed: int = 0
) -> Difference:
    """Measure how far the cell of the rows ``a`` is above that of ``b``, image by image.

    With several seeds, p and a t interval come from the variances between images and seeds, and
    the interval is the wider of that and of a bootstrap over both.
    The bootstrap alone is no test. In simulations of no difference with three seeds, its interval
    missed 0 in up to 27 % where seeds vary more than images, and in under 0.5 % where only single
    pairs of image and seed vary; p was below 0.05 in at most 7 %, with five seeds in 6 %.
    It was below 0.005 in up to 2.2 % with three seeds, which `against` mends.
    Resampled splits share training images, which no test of finished runs can see (Nadeau & Bengio
    2003): their differences speak for this pool.
    With one seed, p is McNemar's, and the interval the wider of its own and of a bootstrap over
    images.

    Raises:
        ValueError: cells of other data, other seeds, or other validation images.
    """
    return compare_all([(a, b)], resamples, rng_seed)[0]


def compare_all(
    pairs: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    resamples: int = RESAMPLES,
    rng_seed: int = 0,
) -> list[Difference]:
    """Compare pairs of cells as `compare` does, with the variance between seeds from all of them.

    In simulations of no difference in families of 10 and 40, with three and five seeds, Holm's
    method then found any in at most 5 % of families; with each pair's own variance of three seeds
    in up to 33 %.
    """
    changes = [Outcomes.of(a).minus(Outcomes.of(b)) for a, b in pairs]
    merged = [_merge_seeds(change) for change in changes]
    family = [_Spread.of(change) for change in merged if len(change) > 1]
    pooled = _pool(family) if family else None
    found = []
    for change, values in zip(changes, merged, strict=True):
        (seeds, images), (lost, gained) = change.shape, _count(change)
        if not lost + gained:
            found.append(Difference(0.0, 0.0, 0.0, 1.0, images, seeds, 0, 0))
            continue
        ends, p = _one_seed(values) if len(values) == 1 else _Spread.of(values).judge(*pooled)
        low, high = _wider(100 * ends, 100 * _bootstrap(values, resamples, rng_seed))
        points = 100 * float(np.nanmean(change))
        found.append(Difference(points, low, high, p, images, seeds, lost, gained))
    return found


def interval(
    rows: pd.DataFrame, resamples: int = RESAMPLES, rng_seed: int = 0
) -> tuple[float, float, float]:
    """Top-1 of one cell as a share from 0 to 1, and the ends of its 95 % interval.

    It is Wilson's (1927) for the images, each counted once, and with several seeds the wider of
    that and of a bootstrap over images and seeds, so that it has a width even where every outcome
    is the same.
    In simulations with three seeds it held the truth in 95 % or more, in 86 % where accuracy varies
    by 5 points from seed to seed; verdicts rest on paired differences, never on it.
    """
    values = Outcomes.of(rows).validated()
    top1, images = float(np.nanmean(values)), values.shape[1]
    parts = [proportion_confint(top1 * images, images, LEVEL, "wilson")]
    if len(values) > 1:
        parts.append(_bootstrap(values, resamples, rng_seed))
    return top1, *_wider(*parts, (top1, top1))  # Wilson's ends are rounded


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct the p values ``[N]`` of one family of comparisons (Holm 1979)."""
    p_values = np.asarray(p_values, dtype=float)
    return multipletests(p_values, LEVEL, method="holm")[1] if p_values.size else p_values


def _cells(frame: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Each cell's key, with None for what is empty, and its rows that have an outcome."""
    done = frame[frame.right.notna()]
    for key, rows in done.groupby(list(by), sort=False, dropna=False):
        yield tuple(None if pd.isna(value) else value for value in key), rows


def accuracies(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Summarise every cell in a row: ``by``, ``top1``, ``low``, ``high``, ``n_seeds``.

    Args:
        frame: rows of cells and seeds; those without ``right`` (they failed) are left out.
        by: the columns that tell a cell from the others, other than the seed.
    """
    rows = [(*key, *interval(cell), len(cell)) for key, cell in _cells(frame, by)]
    return pd.DataFrame(rows, columns=[*by, "top1", "low", "high", "n_seeds"])


def settle(differences: pd.DataFrame) -> pd.DataFrame:
    """Add ``p_holm`` and ``verdict`` to the differences of one family, or renew them.

    Args:
        differences: with ``points``, ``points_low``, ``points_high`` and ``p_value``.
    """
    corrected = holm(differences.p_value)
    settled = (corrected < LEVEL) & (
        (differences.points_low > 0) | (differences.points_high < 0)
    ).to_numpy()
    words = np.where(differences.points > 0, BETTER, WORSE)
    return differences.assign(p_holm=corrected, verdict=np.where(settled, words, UNSETTLED))


def against(
    frame: pd.DataFrame,
    reference: pd.DataFrame,
    by: Sequence[str],
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Compare every other cell with one reference; the comparisons are one family.

    A cell that lacks a seed, because it failed or is still to come, is compared on the seeds that
    both have.
    For a family that is larger, concatenate the results and call `settle` on them.

    Args:
        frame: rows of cells and seeds; those without ``right`` are left out.
        reference: the rows of the cell to compare with, in ``frame`` or not.
        by: the columns that tell a cell from the others, other than the seed.

    Returns:
        A row per cell: ``by``, ``top1``, ``low``, ``high`` (shares), ``points``, ``points_low``,
        ``points_high``, ``p_value``, ``n_images``, ``n_seeds``, ``lost``, ``gained``, ``p_holm``,
        and ``verdict``: "better", "worse" or "not settled".

    Raises:
        ValueError: cells that cannot be paired.
    """
    ((own, reference),) = _cells(reference, by)
    keys, pairs = [], []
    for key, cell in _cells(frame, by):
        if key == own:
            continue
        cell = cell[cell.seed.isin(reference.seed)]
        if cell.empty:
            raise ValueError(f"seeds: the cell {name(by, key)} shares none with the reference")
        keys.append(key)
        pairs.append((cell, reference[reference.seed.isin(cell.seed)]))
    rows = [
        (*key, *interval(cell, resamples), *astuple(difference))
        for key, (cell, _), difference in zip(
            keys, pairs, compare_all(pairs, resamples), strict=True
        )
    ]
    renamed = {"low": "points_low", "high": "points_high", "p": "p_value"}
    columns = [renamed.get(field.name, field.name) for field in fields(Difference)]
    return settle(pd.DataFrame(rows, columns=[*by, "top1", "low", "high", *columns]))


def name(by: Sequence[str], key: Sequence[object]) -> str:
    """Name a cell in a sentence: "method box, size 64"; columns that are empty are left out."""
    pairs = [(column, value) for column, value in zip(by, key, strict=True) if not pd.isna(value)]
    return ", ".join(
        f"{column} {value:g}" if isinstance(value, float) else f"{column} {value}"
        for column, value in pairs
    )


@dataclass(frozen=True)
class Recommendation:
    """The cheapest cell that is not significantly worse than the best, and why.

    Args:
        chosen: its row of `accuracies`, with the cost; ``best`` likewise.
        ratio: the best's cost over the chosen's; NaN where the best's is not known.
        sentence: all of it in words, with the interval of the difference.
    """

    chosen: pd.Series
    best: pd.Series
    ratio: float
    sentence: str


def cheapest_not_worse(
    frame: pd.DataFrame, cost_column: str, by: Sequence[str], unit: str
) -> Recommendation:
    """Recommend the cheapest cell whose top-1 is not significantly worse than the best's.

    Of cells that are as good, or as cheap, the one that is better on the other count is taken.
    The p values are not corrected here: to correct them makes it easier to call cells equal, and
    little data would then recommend what is cheap and bad.
    The best was picked on the same images, which flatters it: the choice errs towards dearer cells.

    Args:
        frame: rows of cells and seeds; those without ``right`` are left out.
        cost_column: larger is dearer, above 0; a cell's cost is the median of its rows'.
            Cells without one can be the best, but are not recommended.
        by: the columns that tell a cell from the others, other than the seed.
        unit: what costs are in, as the sentence names it: "ms per image".

    Raises:
        ValueError: a cost that is not above 0, or none among the cells that are good enough.
    """
    if (frame[cost_column] <= 0).any():
        raise ValueError(f"{cost_column}: costs must be above 0, got {frame[cost_column].min()}")
    cells = [rows for _, rows in _cells(frame, by)]
    costs = [rows[cost_column].median() for rows in cells]
    table = accuracies(frame, by).assign(**{cost_column: costs})
    best = table.sort_values(["top1", cost_column], ascending=[False, True], kind="stable").iloc[0]
    differences = against(frame, cells[best.name], by)
    differences.index = table.index.drop(best.name)  # both are in the order of the cells
    lost = (differences.p_value < LEVEL) & (differences.points < 0)
    fit = table.drop(differences.index[lost]).dropna(subset=cost_column)
    if fit.empty:
        raise ValueError(f"{cost_column}: none of the cells that are good enough has a cost")
    chosen = fit.sort_values([cost_column, "top1"], ascending=[True, False], kind="stable").iloc[0]
    ratio = float(best[cost_column] / chosen[cost_column])
    said = f"{100 * chosen.top1:.1f} % ({100 * chosen.low:.1f} to {100 * chosen.high:.1f})"
    take = (
        f"Take {name(by, chosen[list(by)])}: top-1 {said} at {_price(chosen[cost_column], unit)}. "
    )
    if chosen.name == best.name:
        worse = f"{lost.sum()} of {len(differences)} others"
        why = f"It is the best; {worse} are worse (p < {LEVEL}), among them all that cost less."
    else:
        price = "a cost that is not known"
        if not np.isnan(ratio):
            price = f"{_price(best[cost_column], unit)}, {ratio:.3g} times as much"
        why = _trade(name(by, best[list(by)]), best.top1, price, differences.loc[chosen.name])
    return Recommendation(chosen, best, ratio, take + why)


def _price(cost: float, unit: str) -> str:
    """A cost in two digits and its unit: ``"1.3 ms per image"``."""
    return f"{float(f'{cost:.2g}'):g} {unit}"


def _trade(best: str, top1: float, price: str, difference: pd.Series) -> str:
    """Say what the best has over the chosen cell, and how far that is known."""
    seeds = "1 seed" if difference.n_seeds == 1 else f"{difference.n_seeds} seeds"
    return (
        f"The best, {best}, has {100 * top1:.1f} % at {price}. The difference of "
        f"{difference.points:+.1f} points (95 % interval {difference.points_low:+.1f} to "
        f"{difference.points_high:+.1f}, p = {difference.p_value:.2g}) is not settled "
        f"with {difference.n_images} images and {seeds}. That does not make them equal: more "
        f"images could show a loss of {max(-difference.points_low, 0):.1f} points."
    )


@dataclass(frozen=True)
class Chance:
    """How a control's top-1 stands to chance; ``p`` is one-sided, of being above it."""

    top1: float
    chance: float
    p: float
    at_chance: bool


def at_chance(rows: pd.DataFrame, chance: float) -> Chance:
    """Test whether a control with shuffled labels is no better than guessing (exact binomial).

    It counts as above chance below a p of 0.001, not 0.05, as hits come in groups of like images.

    Args:
        rows: the control's, one for each seed.
        chance: the share of the most frequent class; 1 / classes where all are as frequent.
    """
    if not 0 < chance < 1:
        raise ValueError(f"chance: expected a share such as 1 / classes, got {chance}")
    values = Outcomes.of(rows).values
    right, count = int(np.nansum(values)), int((~np.isnan(values)).sum())
    p = stats.binomtest(right, count, chance, alternative="greater").pvalue
    return Chance(right / count, chance, float(p), bool(p >= CHANCE_LEVEL))
