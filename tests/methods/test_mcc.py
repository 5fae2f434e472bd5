"""MCC: which outputs it looks at, and its temperature."""

import numpy as np
import pytest

from tests.methods.toy import moment
from tladapt import Method, losses, methods
from tladapt.errors import UsageError
from tladapt.methods import Logged, classification


def test_it_is_the_confusion_of_the_target_at_its_temperature():
    class Looking(Method):
        def loss(self, ctx):
            value = losses.minimum_class_confusion(ctx.target.logits, temperature=1.5)
            return {"classification": classification(ctx), "seen": Logged(value)}

    seen = float(moment(Looking()).go()[1]["seen"])
    log = moment(methods.mcc(weight=0.3, temperature=1.5)).go()[1]
    assert float(log["loss/confusion"]) == seen
    np.testing.assert_allclose(log["weight/confusion"], 0.3, rtol=1e-6)
    hotter = float(moment(methods.mcc(temperature=3.0)).go()[1]["loss/confusion"])
    assert seen < hotter < 1 - 1 / 3  # nearer to the confusion of uniform predictions


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": -1.0}, r"weight must lie in \[0, inf\), got -1.0"),
        ({"temperature": 0.0}, r"temperature must lie in \(0, inf\), got 0.0"),
        ({"schedule": "ganin"}, "Did you mean 'ganin2016'"),
    ],
)
def test_fields_out_of_range_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        methods.mcc(**fields)
