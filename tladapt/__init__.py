"""Domain adaptation in JAX: train on a labelled source domain, work on a target domain that has no labels.

The public names are loaded on first use, so that `import tladapt` costs nothing and `tladapt --help` answers at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Domain",
    "Method",
    "Penalty",
    "Recipe",
    "Result",
    "Scenario",
    "Validator",
    "bench",
    "callbacks",
    "data",
    "doctor",
    "evaluation",
    "export",
    "load",
    "losses",
    "methods",
    "models",
    "open_run",
    "penalties",
    "reporting",
    "run",
    "run_seeds",
    "select",
    "shifts",
    "testing",
    "training",
]

# Where each name lives; a public name that is not here is a submodule.
_HOMES = {
    "Config": "tladapt.training.config",
    "Domain": "tladapt.data",
    "Method": "tladapt.methods",
    "Penalty": "tladapt.penalties",
    "Recipe": "tladapt.training.config",
    "Result": "tladapt.training",
    "Scenario": "tladapt.data",
    "Validator": "tladapt.evaluation",
    "doctor": "tladapt.evaluation.doctor",
    "export": "tladapt.training.export",
    "load": "tladapt.data",
    "open_run": "tladapt.training",
    "run": "tladapt.training",
    "run_seeds": "tladapt.training",
    "select": "tladapt.training",
    "shifts": "tladapt.data",
}

if TYPE_CHECKING:  # the same, for type checkers and editors, which do not run `__getattr__`
    from tladapt import (
        bench,
        callbacks,
        data,
        evaluation,
        losses,
        methods,
        models,
        penalties,
        reporting,
        testing,
        training,
    )
    from tladapt.data import Domain, Scenario, load, shifts
    from tladapt.evaluation import Validator
    from tladapt.evaluation.doctor import doctor
    from tladapt.methods import Method
    from tladapt.penalties import Penalty
    from tladapt.training import Result, open_run, run, run_seeds, select
    from tladapt.training.config import Config, Recipe
    from tladapt.training.export import export


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tladapt' has no attribute {name!r}", name=name)
    home = _HOMES.get(name)
    value = importlib.import_module(f"tladapt.{name}") if home is None else getattr(importlib.import_module(home), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
