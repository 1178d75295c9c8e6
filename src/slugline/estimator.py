"""What scikit-learn asks of a classifier, without importing scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any, Self

from slugline.displays import as_call
from slugline.errors import OptionError

__all__ = ["TextEstimator"]


class TextEstimator:
    """A classifier of strings that scikit-learn's tools can copy, search over and show."""

    _estimator_type = "classifier"

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor's arguments; `deep` is scikit-learn's and changes nothing here."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Change some of the constructor's arguments."""
        for name, value in params.items():
            if name not in self._parameter_names():
                raise OptionError(
                    f"{type(self).__name__} has no parameter {name!r}; "
                    f"choose one of {', '.join(self._parameter_names())}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return as_call(self)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that this is a classifier of strings."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )
