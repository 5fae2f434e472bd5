"""Classical methods on fixed vectors, by name in `SHALLOW`: they stand in the same tables as trained networks."""

from tladapt.methods.shallow.base import SHALLOW, Fitted, ShallowMethod
from tladapt.methods.shallow.logistic_regression import LogisticRegression
from tladapt.methods.shallow.nearest_neighbour import NearestNeighbour

__all__ = ["SHALLOW", "Fitted", "LogisticRegression", "NearestNeighbour", "ShallowMethod"]
