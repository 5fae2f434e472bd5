import csv
import io
import math

import numpy as np
import pytest
from scipy import stats

from tladapt.errors import UsageError
from tladapt.evaluation.statistics import paired_test
from tladapt.reporting import read_run, results_table, to_csv, to_latex, to_markdown, to_rich

BASE = {(11, 0): 0.70, (11, 1): 0.72, (12, 0): 0.75, (12, 1): 0.71}
DANN = {(11, 0): 0.80, (11, 1): 0.79, (12, 0): 0.86, (12, 1): 0.83}


@pytest.fixture
def runs(make_run):
    """Return `runs(method, {(data seed, seed): accuracy}, **options) -> [RunFiles]`."""
    count = iter(range(1000))

    def make(method, accuracies, **options):
        return [
            read_run(
                make_run(
                    f"{next(count)}-{method}",
                    method=method,
                    data_seed=data_seed,
                    seed=seed,
                    last=accuracy,
                    outputs=False,
                    **{"log_every": 500, **options},
                )
            )
            for (data_seed, seed), accuracy in accuracies.items()
        ]

    return make


def test_rows_are_methods_over_pairs_of_seeds(runs):
    table = results_table(runs("dann", DANN) + runs("source_only", BASE))
    source_only, dann = table.rows
    assert (source_only.method, dann.method) == ("source_only", "dann")
    assert dann.pairs == tuple(DANN)
    assert dann.last.mean == pytest.approx(100 * np.mean(list(DANN.values())))
    assert dann.last.spread == pytest.approx(100 * np.std(list(DANN.values()), ddof=1))
    assert dann.chosen.mean == pytest.approx(dann.last.mean - 1)
    assert dann.oracle.mean == pytest.approx(dann.last.mean + 1)
    assert dann.source.mean == pytest.approx(98)
    assert dann.settings == source_only.settings == ""
    assert any("independent" in note for note in table.notes)


def test_gain_is_paired_and_equals_scipy_and_our_statistics(runs):
    shuffled = dict(reversed(BASE.items()))
    row = results_table(runs("source_only", shuffled) + runs("dann", DANN)).rows[1]
    a, b = 100 * np.array(list(DANN.values())), 100 * np.array(list(BASE.values()))
    expected = stats.ttest_rel(a, b)
    assert row.gain.mean == pytest.approx((a - b).mean())
    assert row.gain.p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose((row.gain.low, row.gain.high), expected.confidence_interval(0.95))
    ours = paired_test(a, b)
    np.testing.assert_allclose((row.gain.low, row.gain.high, row.gain.p), (*ours.difference[1:3], ours.p))


def test_gain_is_over_common_pairs_alone(runs):
    some = {pair: BASE[pair] for pair in [(11, 0), (12, 1)]}
    row = results_table(runs("source_only", some) + runs("dann", DANN)).rows[1]
    assert row.gain.pairs == 2
    fewer = results_table(runs("source_only", BASE) + runs("dann", {pair: DANN[pair] for pair in some})).rows[1]
    assert fewer.gain == row.gain
    assert row.gain.mean == pytest.approx(100 * (0.80 - 0.70 + 0.83 - 0.71) / 2)
    assert "(2 pairs)" in to_markdown(results_table(runs("source_only", some) + runs("dann", DANN)))


def test_data_seeds_of_different_rows_are_no_matter_for_a_note(runs):
    assert results_table(runs("dann", {(1, 0): 0.8, (1, 1): 0.8}) + runs("mmd", {(2, 0): 0.8})).notes[1:] == ()


def test_one_seed_gives_a_gain_without_interval(runs):
    table = results_table(runs("source_only", {(1, 0): 0.7}) + runs("mmd", {(1, 0): 0.8}))
    assert table.rows[1].gain.mean == pytest.approx(10) and math.isnan(table.rows[1].gain.p)
    assert "| +10.0 | – |" in to_markdown(table)


def test_differing_settings_are_separate_rows_that_name_them(runs):
    short = runs("dann", DANN, steps=1000)
    weighted = runs("dann", DANN, fields={"weight": 0.5})
    table = results_table(runs("source_only", BASE) + runs("dann", DANN, fields={"weight": 1.0}) + short + weighted)
    assert [(row.method, row.settings) for row in table.rows] == [
        ("source_only", "steps=3000"),
        ("dann", "weight=1.0, steps=3000"),
        ("dann", "weight=unset, steps=1000"),
        ("dann", "weight=0.5, steps=3000"),
    ]
    assert "| settings |" in to_markdown(table)


def test_gain_needs_a_baseline_under_the_same_settings(runs):
    other_recipe = runs("dann", DANN, recipe="adam")
    short = runs("mmd", DANN, steps=1000)
    table = results_table(runs("source_only", BASE) + other_recipe + short)
    assert [row.gain for row in table.rows] == [None, None, None]
    assert any("No gain" in note for note in table.notes)
    assert {row.recipe for row in table.rows} == {"digits", "adam"}
    own = results_table(runs("source_only", BASE, recipe="adam") + other_recipe).rows[1]
    assert own.gain.pairs == 4


def test_a_recipe_changed_under_its_name_is_no_baseline(runs):
    changed = runs("dann", DANN, config={"recipe": {"name": "digits", "learning_rate": 0.1, "batch_size": 64}})
    table = results_table(runs("source_only", BASE) + changed)
    assert table.rows[1].gain is None
    assert table.rows[1].settings == "recipe.learning_rate=0.1"


def test_transfer_is_over_the_same_training_from_scratch(runs):
    plain = {"weights": None, "init": None, "penalty": None, "transfer": "finetune"}
    scratch = runs("dann", BASE, config=plain)
    weights, init = (
        {**plain, **start} for start in ({"weights": "net.pth", "transfer": "features"}, {"init": "runs/a"})
    )
    other = runs("dann", BASE, config={**plain, "weights": "net.pth", "batchnorm": "frozen"})
    table = results_table([*scratch, *runs("dann", DANN, config=weights), *runs("dann", DANN, config=init), *other])
    base, tuned, started, frozen = table.rows
    assert base.transfer is None and frozen.transfer is None  # another BatchNorm policy is another training
    a, b = 100 * np.array(list(DANN.values())), 100 * np.array(list(BASE.values()))
    for row in (tuned, started):
        assert row.transfer.mean == pytest.approx((a - b).mean())
        assert row.transfer.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
        assert row.scratch == base.folders and row.gain is None
    said = [note for note in table.notes if "training from scratch" in note]
    assert len(said) == 2 and "weights=net.pth" in said[0] and "gains 10.0 points" in said[0]
    less = {pair: accuracy - 0.2 for pair, accuracy in BASE.items()}
    [note] = [n for n in results_table([*scratch, *runs("dann", less, config=weights)]).notes if "scratch" in n]
    assert "is worse than the same training from scratch: by 20.0 points" in note and base.folders[0] in note


def test_scenarios_and_their_options_are_kept_apart(runs):
    def at(contrast):
        return {"scenario": {"name": "digits-photo", "options": {"contrast": contrast, "seed": 11}}}

    table = results_table(
        runs("dann", {(11, 0): 0.9}, config=at(0.5))
        + runs("dann", {(11, 0): 0.6}, config=at(1.0))
        + runs("dann", {(11, 0): 0.8}, scenario="mnist-usps")
    )
    assert [(row.scenario, row.settings) for row in table.rows] == [
        ("digits-photo", "scenario.contrast=0.5"),
        ("digits-photo", "scenario.contrast=1.0"),
        ("mnist-usps", ""),
    ]


def test_validators_are_kept_apart_and_share_a_baseline(runs):
    table = results_table(runs("source_only", BASE) + runs("dann", DANN) + runs("dann", DANN, validator="entropy"))
    assert [row.validator for row in table.rows] == ["im", "im", "entropy"]
    assert table.rows[2].gain.pairs == 4
    text = to_markdown(table)
    assert "chosen (by its validator)" in text and "| entropy |" in text
    assert "chosen (im)" in to_markdown(results_table(runs("dann", DANN)))


def test_runs_that_start_from_runs_of_their_own_share_a_row(runs):
    started = [run for i in range(3) for run in runs("shot", {(1, i): 0.9}, config={"init": f"runs/source-{i}"})]
    plain = runs("shot", {(1, 7): 0.9}, config={"init": None})
    assert [row.settings for row in results_table(started + plain).rows] == ["init=True", "init=False"]


def test_runs_that_start_from_a_run_show_what_it_could(runs):
    plain = runs("source_only", BASE)
    assert "before" not in to_markdown(results_table(plain))
    for run in (started := runs("shot", {(1, 0): 0.9, (1, 1): 0.9}, config={"init": "runs/source"})):
        run.summary.update({"before/source/accuracy": 0.99, "before/target/accuracy": 0.75})
    table = results_table(plain + started)
    assert (table.rows[1].before.mean, table.rows[1].source_before.mean) == (75.0, 99.0)
    header, _, first, second = to_markdown(table).splitlines()[:4]
    columns = [cell.strip() for cell in header.split("|")]
    assert columns.index("before") == columns.index("last") - 1
    assert columns.index("source before") == columns.index("source") - 1
    cells = [[cell.strip() for cell in row.split("|")] for row in (first, second)]
    assert [row[columns.index("before")] for row in cells] == ["–", "75.0 ± 0.0"]
    assert float(list(csv.DictReader(io.StringIO(to_csv(table))))[1]["source_before_mean"]) == 99.0


def test_oracle_runs_come_last_and_carry_the_word(runs):
    table = results_table(runs("target_only", DANN) + runs("dann", DANN) + runs("source_only", BASE))
    assert [row.method for row in table.rows] == ["source_only", "dann", "target_only"]
    assert table.rows[2].is_oracle and table.rows[2].gain.pairs == 4
    for text in (to_markdown(table), to_latex(table).replace(r"\_", "_")):
        assert "target_only [oracle]" in text and "oracle (uses test labels)" in text
    assert "oracle_run" in to_csv(table) and "oracle_uses_test_labels_mean" in to_csv(table)


def test_an_oracle_run_of_source_only_is_no_baseline(runs, make_run):
    import json

    oracle = runs("source_only", DANN)
    for run in oracle:
        (run.path / "summary.json").write_text(json.dumps({**run.summary, "oracle_run": True}))
    table = results_table([read_run(run.path) for run in oracle] + runs("mmd", DANN))
    assert [row.gain for row in table.rows] == [None, None]


def test_what_is_left_out_is_said(runs):
    unfinished = runs("dann", {(1, 5): 0.1}, finished=False)
    table = results_table(runs("dann", {(1, 0): 0.8}) + runs("dann", {(1, 0): 0.2}) + unfinished)
    assert table.rows[0].last.mean == pytest.approx(80)
    assert sum("Left out" in note for note in table.notes) == 2
    assert table.notes[0] in to_markdown(table)
    with pytest.raises(UsageError, match="at least one finished run, got 1"):
        results_table(unfinished)


def test_a_target_without_labels_leaves_dashes(runs):
    table = results_table(
        runs("source_only", {(1, 0): 0.5}, labelled=False) + runs("dann", {(1, 0): 0.5}, labelled=False)
    )
    assert "| source_only | digits | – | – | – | 98.0 | 1 | – | – |" in to_markdown(table)
    assert not any("No gain" in note for note in table.notes)


def test_csv_holds_plain_numbers(runs):
    rows = list(csv.DictReader(io.StringIO(to_csv(results_table(runs("source_only", BASE) + runs("dann", DANN))))))
    assert float(rows[1]["last_mean"]) == pytest.approx(82.0)
    assert (rows[1]["runs"], rows[1]["data_seeds"], rows[1]["gain_pairs"]) == ("4", "2", "4")
    assert rows[0]["gain_mean"] == ""
    assert 0 < float(rows[1]["gain_p"]) < 0.05


def test_latex_is_escaped_and_ruled(runs):
    text = to_latex(results_table(runs("source_only", BASE)))
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    assert r"source\_only" in text and r"$\pm$" in text and "%" not in text.replace(r"\%", "")


def test_terminal_table_fits_80_columns_and_says_once_what_is_shared(runs):
    from rich.console import Console

    table = results_table(runs("source_only", BASE) + runs("dann", DANN) + runs("target_only", DANN))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(to_rich(table))
    text = console.file.getvalue()
    assert "…" not in text
    assert text.count("digits-photo") == 1 and "4 (2 data seeds)" in text
    for words in ("source_only", "dann", "82.0±3.2", "labels)"):
        assert words in text
    narrow = Console(width=60, file=io.StringIO(), color_system=None)
    narrow.print(to_rich(results_table(runs("source_only", BASE) + runs("dann", DANN, steps=600))))
    assert "…" not in narrow.file.getvalue()  # broken over lines rather than cut
