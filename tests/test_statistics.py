"""Paired outcomes: their text, intervals, p values under the null hypothesis, recommendations."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from studies import curves, statistics
from studies.outcomes import Outcomes, pack, unpack
from studies.statistics import compare, interval

IMPROBABLE = 1e-6  # how rarely a correct rule may fail a test of its rate


def make_rows(values, **key):
    """A cell's rows from its outcomes ``[seeds, pool]``, NaN where not validated."""
    known = ~np.isnan(values)
    return pd.DataFrame(
        {
            **key,
            "data_digest": "d",
            "seed": range(len(values)),
            "val": [pack(mask) for mask in known],
            "right": [pack(row[mask] == 1) for row, mask in zip(values, known, strict=True)],
        }
    )


def draw_splits(rng, seeds, pool, val):
    """NaN but for ``val`` images of each seed, where there is a 1."""
    masks = np.full((seeds, pool), np.nan)
    for mask in masks:
        mask[rng.permutation(pool)[:val]] = 1
    return masks


# Text.


def test_bits_survive_a_csv(rng):
    bits = [rng.random(n) < 0.5 for n in (*range(1, 70), 1000)]
    stream = io.StringIO()
    pd.DataFrame({"right": [pack(b) for b in bits]}).to_csv(stream, index=False)
    stream.seek(0)
    for text, expected in zip(pd.read_csv(stream).right, bits, strict=True):
        np.testing.assert_array_equal(unpack(text), expected, strict=True)


def test_bits_have_the_stated_form():
    assert pack([True, False, True]) == "3:a0"
    assert pack([]) == "0:"
    assert unpack("0:").shape == (0,)


@pytest.mark.parametrize("text", ["3:a1", "9:a0", "3:a000", "a0", "3:", "3:A0", "", np.nan, None])
def test_text_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="bits: expected text such as '3:a0'"):
        unpack(text)


def test_outcomes_stand_by_seed_and_place_in_the_pool(rng):
    values = draw_splits(rng, 3, 40, 15) * (rng.random((3, 40)) < 0.6)
    found = Outcomes.of(make_rows(values).iloc[[2, 0, 1]])
    assert found.seeds == (0, 1, 2)
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.validated(), values[:, ~np.isnan(values).all(0)])


def change(**cells):
    rows = make_rows(np.array([[1.0, 0, 1], [1, 1, np.nan]]))
    for column, value in cells.items():
        rows[column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (change().iloc[:0], r"rows: expected one data_digest, got \[\]"),
        (change(data_digest=["d", "e"]), r"rows: expected one data_digest, got \['d', 'e'\]"),
        (change(seed=4), r"rows: expected one row for each seed, got the seeds \[4, 4\]"),
        (change(val=["3:e0", "4:c0"]), r"val: expected one pool size, got \[3, 4\]"),
        (change(right=["3:e0", "3:c0"]), "right: expected a bit for each of the 2 images"),
        (change(val="3:80", right="1:80"), "val: expected at least 2 images"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        interval(rows)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (change(data_digest="e"), "data_digest: pairs need the same in both cells, got d and e"),
        (change(seed=[0, 2]), r"seeds: pairs need the same .* got \[0, 1\] and \[0, 2\]"),
        (change(val=["3:e0", "3:a0"]), "val: pairs need the same images .* not so at seed 1"),
    ],
)
def test_pairs_that_are_none_are_refused(other, words):
    with pytest.raises(ValueError, match=words):
        compare(change(), other)


# One seed.


def test_one_seed_has_mcnemars_p_and_an_interval_that_agrees(rng):
    for _ in range(100):
        images = int(rng.integers(10, 120))
        a, b = (rng.random((2, 1, images)) < rng.uniform(0.2, 0.9, (2, 1, 1))).astype(float)
        found = compare(make_rows(a), make_rows(b), resamples=199)
        table = [[np.sum((a == x) & (b == y)) for y in (1, 0)] for x in (1, 0)]
        assert (found.gained, found.lost) == (table[0][1], table[1][0])
        assert found.points == pytest.approx(100 * (a.mean() - b.mean()))
        if found.lost + found.gained:
            assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert found.low <= found.points <= found.high
        if found.p >= statistics.LEVEL:
            assert found.low <= 0 <= found.high


def test_seeds_that_repeat_each_other_are_one(rng):
    a, b = (rng.random((2, 1, 60)) < 0.6).astype(float)
    once = compare(make_rows(a), make_rows(b))
    thrice = compare(make_rows(a.repeat(3, 0)), make_rows(b.repeat(3, 0)))
    assert (thrice.p, thrice.low, thrice.high) == (once.p, once.low, once.high)
    assert (thrice.n_images, thrice.n_seeds, thrice.lost) == (60, 3, 3 * once.lost)


# Several seeds.


def test_errors_are_those_of_two_way_clustering(rng):
    values = draw_splits(rng, 4, 50, 30) * rng.choice([-1, 0, 1], (4, 50))
    values += rng.normal(size=(4, 1)) + rng.normal(size=50)  # so that all three parts count
    seed, image = np.nonzero(~np.isnan(values))
    fit = sm.OLS(values[seed, image], np.ones(len(seed))).fit()
    both, by_seed, by_image = (float(c[0, 0]) for c in cov_cluster_2groups(fit, seed, image))
    by_pair = by_seed + by_image - both
    variance = max(both, by_seed, by_image, by_pair)
    images, pairs = len(set(image)), len(image)
    found = statistics._Spread.of(values[:, ~np.isnan(values).all(0)])
    assert (found.seeds, found.images, found.pairs) == (4, images, pairs)
    assert found.mean == pytest.approx(fit.params[0])
    assert (found.by_seed, found.by_image) == pytest.approx((by_seed, by_image))
    assert found.by_pair == pytest.approx(by_pair)
    parts = by_seed**2 / 3 + by_image**2 / (images - 1) + by_pair**2 / (pairs - 1)
    expected = stats.t(variance**2 / parts, fit.params[0], np.sqrt(variance))
    ends, p = found.judge(*statistics._pool([found]))
    assert ends == pytest.approx(expected.interval(0.95))
    assert p == pytest.approx(2 * min(expected.cdf(0), expected.sf(0)))


def test_a_family_pools_the_variance_between_seeds(rng):
    """Its mean varies as the stated degrees of freedom say, for independent cells."""
    seeds, others, runs = 3, 12, 20000
    cells = rng.normal(size=(runs, others + 1, seeds))
    pooled = (cells[:, 1:] - cells[:, :1]).var(-1, ddof=1).mean(-1)
    family = [statistics._Spread(0, by_seed, 1, 2, seeds, 9, 9) for by_seed in range(others)]
    ratio, freedom = statistics._pool(family)
    assert ratio == pytest.approx(np.mean(range(others)) / 2)
    # The variance of a mean square is 2 mean**2 / freedom.
    found = 2 * pooled.mean() ** 2 / freedom / pooled.var()
    spread = np.sqrt(((pooled - pooled.mean()) ** 2).var() / runs) / pooled.var()
    assert abs(found - 1) < stats.norm.isf(IMPROBABLE) * spread + 5 * pooled.std() / runs**0.5


def test_the_bootstrap_draws_images_and_seeds_apart(rng):
    values = 10 + rng.normal(size=(2, 4))  # so that a mean of nothing, taken for 0, would show
    values[0, 1:] = np.nan
    means = []
    for seeds in itertools.product(range(2), repeat=2):
        for images in itertools.product(range(4), repeat=4):
            drawn = values[np.ix_(seeds, images)]
            known = drawn[~np.isnan(drawn)]
            means.append(known.mean() if known.size else np.nanmean(values))
    means = np.sort(means)
    low, high = statistics._bootstrap(values, 9999, 0)
    # Where the interval's end lies among all draws is a share from 9999 of them.
    spare = stats.norm.isf(IMPROBABLE) * np.sqrt(0.025 * 0.975 / 9999)
    for end, share in ((low, 0.025), (high, 0.975)):
        rounding = 1e-12
        assert np.mean(means < end - rounding) <= share + spare
        assert np.mean(means <= end + rounding) >= share - spare


def test_no_difference_is_none(rng):
    values = draw_splits(rng, 3, 90, 40) * (rng.random((3, 90)) < 0.7)
    found = compare(make_rows(values), make_rows(values))
    assert found == statistics.Difference(
        0, 0, 0, 1, int((~np.isnan(values)).any(0).sum()), 3, 0, 0
    )


def test_the_same_rows_have_the_same_figures(rng):
    cells = [make_rows((rng.random((3, 50)) < 0.6).astype(float)) for _ in range(2)]
    assert compare(*cells) == compare(*cells)
    assert interval(cells[0]) == interval(cells[0])


def test_a_change_that_cancels_out_is_not_settled():
    one, other = np.eye(2), 1 - np.eye(2)
    found = compare(make_rows(one), make_rows(other))
    assert (found.points, found.p) == (0, 1)
    assert found.low < 0 < found.high


def test_a_clear_change_with_several_seeds_is_found(rng):
    a = (rng.random((5, 200)) < 0.9).astype(float)
    b = (rng.random((5, 200)) < 0.5).astype(float)
    found = compare(make_rows(a), make_rows(b))
    assert found.p < statistics.LEVEL
    assert 0 < found.low < found.points < found.high
    mirrored = compare(make_rows(b), make_rows(a))
    assert mirrored.points == -found.points
    assert mirrored.p == found.p


def draw_null(rng, seeds, images, by_image, by_seed):
    """Two cells ``[2, seeds, images]`` from one distribution: no difference but by chance.

    An image is hard or easy, more so under one of the cells (``by_image``), as is a seed
    (``by_seed``); 0.1 of the scale is noise.
    """
    score = rng.normal(1, 1, images) + by_image * rng.normal(size=(2, 1, images))
    score = score + by_seed * rng.normal(size=(2, seeds, 1))
    return (score + 0.1 * rng.normal(size=(2, seeds, images)) > 0).astype(float)


@pytest.mark.parametrize("images", [50, 200, 1000])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_no_more_false_positives_than_stated(rng, seeds, images):
    # Seeds differ more than images do: the case in which a bootstrap of few seeds is far too sure.
    # What a single seed says of its two networks is not about the next seed.
    by_image, by_seed = (0.5, 0) if seeds == 1 else (0.05, 0.5)
    runs, found = 150, 0
    for _ in range(runs):
        a, b = draw_null(rng, seeds, images, by_image, by_seed)
        found += compare(make_rows(a), make_rows(b), resamples=9).p < statistics.LEVEL
    assert found <= stats.binom.isf(IMPROBABLE, runs, statistics.LEVEL)


def test_a_family_of_three_seeds_has_no_more_false_positives_than_stated(rng):
    # With each pair's own variance of three seeds, some 20 to 30 % of families would have one.
    runs, found = 150, 0
    for _ in range(runs):
        score = rng.normal(1, 1, 200) + 0.5 * rng.normal(size=(21, 3, 1))
        right = (score + 0.1 * rng.normal(size=(21, 3, 200)) > 0).astype(float)
        family = [statistics._Spread.of(cell - right[0]) for cell in right[1:]]
        pooled = statistics._pool(family)
        p = [spread.judge(*pooled)[1] for spread in family]
        found += len(p) * min(p) < statistics.LEVEL  # Holm's correction of the least
    assert found <= stats.binom.isf(IMPROBABLE, runs, statistics.LEVEL)


def test_pairs_are_compared_with_what_all_of_them_say_of_seeds(rng):
    values = draw_splits(rng, 3, 80, 40) * (rng.random((5, 3, 80)) < 0.7)
    values[4] = values[0]
    pairs = [(make_rows(cell), make_rows(values[0])) for cell in values[1:]]
    found = statistics.compare_all(pairs, resamples=99)
    spreads = [statistics._Spread.of((v - values[0])[:, (v == v).any(0)]) for v in values[1:4]]
    for difference, spread in zip(found[:3], spreads, strict=True):
        ends, p = spread.judge(*statistics._pool(spreads))
        assert difference.p == pytest.approx(p)
        assert difference.low <= 100 * ends[0] + 1e-9
        assert difference.high >= 100 * ends[1] - 1e-9
    assert (found[3].points, found[3].p) == (0, 1)


@pytest.mark.parametrize(("by_image", "by_seed"), [(0.05, 0.5), (0.5, 0.05)])
def test_intervals_hold_the_truth(rng, by_image, by_seed):
    runs, missed = 150, 0
    for _ in range(runs):
        a, b = draw_null(rng, 3, 100, by_image, by_seed)
        found = compare(make_rows(a), make_rows(b), resamples=199)
        missed += not found.low <= 0 <= found.high
    assert missed <= stats.binom.isf(IMPROBABLE, runs, statistics.LEVEL)


# One cell.


def test_one_seed_has_wilsons_interval():
    # Newcombe 1998, Table I, method 3.
    for right, n, expected in ((81, 263, (0.2553, 0.3662)), (0, 20, (0, 0.1611))):
        found = interval(make_rows((np.arange(n) < right)[None].astype(float)))
        assert found == pytest.approx((right / n, *expected), abs=5e-5)


def test_intervals_hold_their_top1_in_spite_of_rounding():
    for n in range(2, 200):
        for share in (0, 1):
            top1, low, high = interval(make_rows(np.full((1, n), float(share))))
            assert low <= top1 <= high


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_at_the_ends_have_a_width(rng, seeds, share):
    values = draw_splits(rng, seeds, 60, 30) * share
    top1, low, high = interval(make_rows(values))
    assert top1 == share
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.03


def test_intervals_widen_with_what_seeds_differ_by(rng):
    steady = (rng.random(200) < 0.7)[None].repeat(3, 0).astype(float)
    varied = np.stack([rng.random(200) < share for share in (0.5, 0.7, 0.9)]).astype(float)
    assert np.ptp(interval(make_rows(varied))[1:]) > 2 * np.ptp(interval(make_rows(steady))[1:])


# Families.


def test_holm_multiplies_by_what_is_left():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]).shape == (0,)


def family(rng, shares, seeds=3, images=150, swaps=5):
    """A frame of cells ``method`` x ``size`` with these top-1; each seed swaps some outcomes."""
    rank, cells = rng.permutation(images), []
    for (method, size), share in shares.items():
        values = np.tile(rank < round(share * images), (seeds, 1)).astype(float)
        for row in values:
            for now in [np.flatnonzero(row == outcome) for outcome in (0, 1)]:
                row[rng.choice(now, swaps, replace=False)] = 1 - row[now[0]]
        cells.append(make_rows(values, method=method, size=size))
    return pd.concat(cells, ignore_index=True).astype({"size": "Int64"})


def test_a_family_is_compared_with_its_reference(rng):
    shares = {("original", None): 0.7, ("twin", 9): 0.7, ("best", 9): 0.95, ("worst", 9): 0.3}
    frame = family(rng, shares)
    reference = frame[frame.method == "original"]
    failed = frame[frame.method == "best"].assign(method="failed", right=np.nan)
    frame.loc[(frame.method == "best") & (frame.seed == 1), "right"] = np.nan
    found = statistics.against(pd.concat([frame, failed]), reference, ["method", "size"])
    assert found.method.tolist() == ["twin", "best", "worst"]
    assert found.verdict.tolist() == ["not settled", "better", "worse"]
    assert found.n_seeds.tolist() == [3, 2, 3]
    assert found["size"].tolist() == [9, 9, 9]
    np.testing.assert_array_equal(found.p_holm, statistics.holm(found.p_value))
    seeds = frame.seed != 1
    pairs = [(frame[frame.method == "twin"], reference)]
    pairs += [(frame[(frame.method == "best") & seeds], reference[reference.seed != 1])]
    pairs += [(frame[frame.method == "worst"], reference)]
    difference = statistics.compare_all(pairs)[2]
    row = found.iloc[2]
    assert (row.points, row.p_value, row.lost) == (difference.points, difference.p, difference.lost)
    assert (row.points_low, row.points_high) == (difference.low, difference.high)
    assert (row.top1, row.low, row.high) == interval(frame[frame.method == "worst"])


def test_a_larger_family_settles_less():
    rows = pd.DataFrame({"points": 2.0, "points_low": 1.0, "points_high": 3.0, "p_value": [0.02]})
    assert statistics.settle(rows).verdict.tolist() == ["better"]
    three = statistics.settle(pd.concat([rows] * 3))
    assert three.verdict.tolist() == ["not settled"] * 3
    assert three.p_holm.tolist() == pytest.approx([0.06] * 3)
    assert statistics.settle(rows.assign(points_low=-0.1)).verdict.tolist() == ["not settled"]


def test_a_reference_without_a_common_seed_is_refused(rng):
    frame = family(rng, {("a", 8): 0.5, ("b", 8): 0.5})
    frame.loc[frame.method == "b", "seed"] += 10
    with pytest.raises(ValueError, match="seeds: the cell method b, size 8 shares none"):
        statistics.against(frame, frame[frame.method == "a"], ["method", "size"])


def recommend(frame, costs):
    by = ["method", "size"]
    frame = frame.assign(cost=frame.method.map(costs))
    return statistics.cheapest_not_worse(frame, "cost", by, "s per batch")


def test_the_cheapest_cell_that_is_not_worse_is_recommended(rng):
    frame = family(rng, {("a", 8): 0.3, ("b", 16): 0.79, ("c", 32): 0.8, ("d", 64): 0.78})
    found = recommend(frame, {"a": 1, "b": 2.04, "c": 5.1, "d": 3})
    assert (found.chosen.method, found.best.method, found.ratio) == ("b", "c", 2.5)
    others = statistics.against(frame, frame[frame.method == "c"], ["method", "size"])
    difference = others.set_index("method").loc["b"]
    assert found.sentence.startswith("Take method b, size 16: top-1 ")
    for words in (
        f"top-1 {100 * found.chosen.top1:.1f} % ",
        " at 2 s per batch. The best, method c, size 32, has ",
        f"{100 * found.best.top1:.1f} % at 5.1 s per batch, 2.5 times as much",
        f"{difference.points:+.1f} points (95 % interval {difference.points_low:+.1f} to "
        f"{difference.points_high:+.1f}, p = {difference.p_value:.2g})",
        "not settled with 150 images and 3 seeds",
        f"could show a loss of {-difference.points_low:.1f} points",
    ):
        assert words in found.sentence


def test_the_best_is_recommended_where_all_that_cost_less_are_worse(rng):
    frame = family(rng, {("a", 8): 0.3, ("b", 16): 0.8, ("c", 32): 0.79})
    found = recommend(frame, {"a": 1, "b": 2, "c": 3})
    assert (found.chosen.method, found.best.method, found.ratio) == ("b", "b", 1)
    assert "It is the best; 1 of 2 others are worse (p < 0.05)" in found.sentence
    alone = recommend(frame[frame.method == "a"], {"a": 1})
    assert "0 of 0 others" in alone.sentence


def test_a_large_family_does_not_recommend_what_is_worse_by_itself():
    """The cheap cell loses 12 images and gains 2: p = 0.013, but 0.26 after Holm's correction."""
    best = np.ones((1, 200))
    best[0, 150:] = 0
    cheap = best.copy()
    cheap[0, :12], cheap[0, 150:152] = 0, 1
    cells = [make_rows(best, method=f"twin {i}", size=i) for i in range(20)]
    frame = pd.concat([*cells, make_rows(cheap, method="cheap", size=99)], ignore_index=True)
    costs = {f"twin {i}": 2 + i for i in range(20)} | {"cheap": 1}
    found = recommend(frame.astype({"size": "Int64"}), costs)
    assert found.chosen.method == "twin 0"
    others = statistics.against(frame, frame[frame.method == "twin 0"], ["method", "size"])
    assert others.set_index("method").verdict["cheap"] == "not settled"


def test_ties_and_unknown_costs(rng):
    frame = family(rng, {("a", 8): 0.6, ("b", 8): 0.6, ("c", 8): 0.6})
    assert len(set(frame.right)) == 9
    assert recommend(frame, {"a": 3, "b": 2, "c": 4}).best.method == "b"
    found = recommend(frame, {"a": 2, "b": 2, "c": np.nan})
    assert (found.best.method, found.chosen.method) == ("a", "a")
    frame = family(rng, {("a", 8): 0.6, ("b", 8): 0.9})
    with pytest.raises(ValueError, match="cost: none of the cells that are good enough"):
        recommend(frame, {"a": 2, "b": np.nan})
    close = family(rng, {("a", 8): 0.6, ("b", 8): 0.61})
    found = recommend(close, {"a": 2, "b": np.nan})
    assert (found.best.method, found.chosen.method) == ("b", "a")
    assert np.isnan(found.ratio)
    assert "at a cost that is not known" in found.sentence
    with pytest.raises(ValueError, match="cost: costs must be above 0, got 0"):
        recommend(frame, {"a": 0, "b": 1})


# The control.


def test_a_control_at_chance_and_one_above_it(rng):
    values = draw_splits(rng, 3, 120, 60)
    at = statistics.at_chance(make_rows(values * (rng.random((3, 120)) < 0.2)), 1 / 5)
    right = round(at.top1 * 180)
    assert at.p == pytest.approx(stats.binom.sf(right - 1, 180, 1 / 5))
    assert at.at_chance == (at.p >= 0.001)
    above = statistics.at_chance(make_rows(values * (rng.random((3, 120)) < 0.6)), 1 / 5)
    assert not above.at_chance
    below = statistics.at_chance(make_rows(values * 0), 1 / 5)
    assert below.at_chance
    with pytest.raises(ValueError, match="chance: expected a share such as 1 / classes, got 5"):
        statistics.at_chance(make_rows(values), 5)


# Plots.


def test_plots_have_plain_ticks_and_a_label_per_size_that_none_covers(rng):
    shares = {
        (method, size): 0.5 + 0.08 * i + 0.01 * j
        for i, size in enumerate((32, 64, 96, 128, 224))
        for j, method in enumerate(("nearest", "bilinear", "box"))
    }
    frame = family(rng, shares).assign(like="pillow", test_like="pillow")
    frame = frame.assign(test_method=frame.method, test_size=frame["size"])
    # A method that is a little dearer is a little better, so that all cells are on the front.
    ranks = frame.method.map({"nearest": 0, "bilinear": 1, "box": 2})
    frame["cost_ms"] = (frame["size"].astype(float) / 100) ** 2 * (1 + 0.01 * ranks)
    figure = Figure((13, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    curves.draw_lines(left, frame.astype({"size": float}), "a")
    curves.draw_pareto(right, frame, "b")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    sizes = ["32", "64", "96", "128", "224"]
    assert [label.get_text() for label in left.get_xticklabels()] == sizes
    ticks = {label.get_text() for label in right.get_xticklabels()}
    assert {"0.2", "0.5", "1", "2"} <= ticks
    assert [label.get_text() for label in right.texts] == [f"{size} px" for size in sizes]
    boxes = [label.get_window_extent(renderer) for label in right.texts]
    assert not any(box.overlaps(other) for box, other in itertools.combinations(boxes, 2))
    assert all(box.x0 > right.get_window_extent(renderer).x0 for box in boxes)
