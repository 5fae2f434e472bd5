"""The mean teacher: what it averages, which view it sees, and that it predicts."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import moment, same
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.training.config import BATCHNORM_PRESETS


def elsewhere(found, shift=0.1):
    """Return a moment whose teacher is not its student."""
    params = jax.tree.map(lambda leaf: leaf + shift, found.state.memory["params"])
    return found._replace(state=found.state._replace(memory={**found.state.memory, "params": params}))


def student(state):
    return {block: state.params[block] for block in state.memory["params"]}


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_the_teacher_averages_the_updated_student(decay):
    found = elsewhere(moment(methods.mean_teacher(decay=decay)))
    state, _ = found.go()
    assert set(state.memory["params"]) == {"backbone", "bottleneck", "classifier"}
    old, new = found.state.memory["params"], student(state)
    assert not same(new, student(found.state))
    if decay == 0.0:
        assert same(state.memory["params"], new)
    elif decay == 1.0:
        assert same(state.memory["params"], old)
    else:
        expected = jax.tree.map(lambda a, b: decay * np.float64(a) + (1.0 - decay) * np.float64(b), old, new)
        for leaf, wanted in zip(jax.tree.leaves(state.memory["params"]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=1e-6, atol=1e-7)


def test_the_teacher_starts_as_the_student():
    state = moment(methods.mean_teacher()).state
    assert same(state.memory["params"], student(state))
    assert same(state.memory["statistics"], state.statistics)


def test_no_gradient_reaches_the_teacher():
    found = elsewhere(moment(methods.mean_teacher(confidence=0.4)))

    def total(params):
        memory = {**found.state.memory, "params": params}
        _, log = found.go(found.state._replace(memory=memory))
        return sum(log[f"loss/{term}"] for term in ("classification", "consistency", "class_balance"))

    gradient = jax.grad(total)(found.state.memory["params"])
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spy(methods.MeanTeacher):
    """Writes down what the teacher is asked, and by which view."""

    seen: list

    def loss(self, ctx):
        def forward(x, **options):
            self.seen.append((ctx.target.x, x, options))
            return ctx.forward(x, **options)

        # The context is frozen, and this is a look from outside.
        return super().loss(_Watched(ctx, forward))


class _Watched:
    def __init__(self, ctx, forward):
        self._ctx, self.forward = ctx, forward

    def __getattr__(self, name):
        return getattr(self._ctx, name)


def test_student_and_teacher_see_two_views_of_the_same_examples():
    seen = []
    found = moment(Spy(seen=seen))
    found.go()
    [(students, teachers, _)] = seen
    bare = np.asarray(found.arrays["target"]["x"])[np.asarray(found.piece["target"]["index"])]
    for view in (students, teachers):
        noise = np.asarray(view) - bare
        assert 0.05 < noise.std() < 0.15  # the augmentation's 0.1
    assert np.corrcoef(np.ravel(students - bare), np.ravel(teachers - bare))[0, 1] < 0.5


def test_the_teacher_passes_with_its_own_parameters_and_statistics():
    seen = []
    found = elsewhere(moment(Spy(seen=seen), batch_norm=True))
    state, _ = found.go()
    [(_, view, options)] = seen
    assert same(options["params"], found.state.memory["params"])
    assert same(options["statistics"], found.state.memory["statistics"])
    # Running mean of the first layer: momentum 0.9 on 0, then a tenth of the mean of the teacher's own batch.
    kernel = found.state.memory["params"]["backbone"]["layers"][0]["linear"]["kernel"]
    expected = 0.1 * np.mean(np.asarray(view) @ np.asarray(kernel), axis=0)
    mean = state.memory["statistics"]["shared"]["backbone"]["layers"][0]["norm"]["mean"]
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-6)
    assert not same(state.memory["statistics"], state.statistics)


def test_the_students_statistics_do_not_see_the_teachers_pass():
    """Without consistency the student is that of source and target views alone, whatever the teacher."""
    one = moment(methods.mean_teacher(weight=0.0), batch_norm=True)
    state, _ = one.go()
    other, _ = elsewhere(one).go()
    assert same(state.statistics, other.statistics)
    assert same(state.params, other.params)


def test_what_counts_is_logged():
    logits = 0.1 * np.ones((13, 3))
    logits[:5, 0] = 9.0
    teacher = methods.Forward(None, jnp.asarray(logits, jnp.float32), {})
    batch = types.SimpleNamespace(logits=jnp.zeros((13, 3)), y=jnp.zeros(13, jnp.int32), mixture=None)
    ctx = types.SimpleNamespace(
        source=batch,
        target=batch,
        memory={"params": {}, "statistics": {}},
        view=lambda domain, name: None,
        forward=lambda x, **options: teacher,
    )
    terms, _ = methods.mean_teacher().loss(ctx)
    np.testing.assert_allclose(terms["teacher/confident"].value, 5 / 13, rtol=1e-6)
    # BCE of the uniform mean prediction against itself, times the share that counts.
    entropy = -(1 / 3) * np.log(1 / 3) - (2 / 3) * np.log(2 / 3)
    np.testing.assert_allclose(terms["class_balance"].value, entropy * 5 / 13, rtol=1e-5)
    np.testing.assert_allclose(terms["class_balance"].weight, 3.0 * 0.005 * 3)
    # Five confident examples of thirteen, (1 - 1/3)^2 + 2 (1/3)^2 over three classes; exact up to e^-8.9.
    np.testing.assert_allclose(terms["consistency"].value, (6 / 9 / 3) * 5 / 13, rtol=1e-3)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_the_teacher_predicts(domain):
    asked = []

    def forward(x, **options):
        asked.append(options)
        return methods.Forward(jnp.zeros((2, 4)), jnp.ones((2, 3)), None)

    memory = {"params": {"backbone": 1}, "statistics": {"shared": 2}}
    out = methods.mean_teacher().predict(types.SimpleNamespace(forward=forward, memory=memory), None, domain)
    # By the statistics of the target, for the source as well: the teacher has never seen another domain.
    assert asked == [{"domain": "target", "params": memory["params"], "statistics": memory["statistics"]}]
    assert same(out, (jnp.zeros((2, 4)), jnp.ones((2, 3))))


def test_it_works_with_statistics_of_each_domain():
    found = moment(methods.mean_teacher(), batch_norm=True, batchnorm=BATCHNORM_PRESETS["per_domain"])
    state, _ = found.go()
    assert set(state.memory["statistics"]) == {"source", "target"}
    assert same(state.memory["statistics"]["source"], found.state.memory["statistics"]["source"])
    assert not same(state.memory["statistics"]["target"], found.state.memory["statistics"]["target"])


@pytest.mark.parametrize("fields", [{"decay": 1.1}, {"confidence": 1.0}, {"weight": -1.0}, {"balance": -1.0}])
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(UsageError, match=f"method 'mean_teacher': {next(iter(fields))} must lie in"):
        methods.mean_teacher(**fields)
