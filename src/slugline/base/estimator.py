"""scikit-learn's estimator contract for classifiers of strings, without importing scikit-learn."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any, Literal, Self

from slugline.base.arrays import F32
from slugline.base.checks import check_choice
from slugline.base.wording import format_call, join_words
from slugline.errors import OptionError, Parameter

#: Routing request for a parameter: True (pass it on), False (don't), None (raise an error if it is
#: given), or an alias under which callers pass it.
Request = bool | str | None
# Parameters of methods that are not metadata.
_NOT_METADATA = ("self", "X", "y")


class TextEstimator:
    """Base class of text classifiers for scikit-learn's cloning, tuning, routing and display."""

    _estimator_type = "classifier"

    # Parameters -----------------------------------------------------------------------------------

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments.

        If `deep`, include nested parameters under names such as `learner__passes`.
        """
        params = {name: getattr(self, name) for name in self._parameter_names()}
        if deep:
            for name in [*params]:
                nested = self._nested_estimator(name)
                if nested is not None:
                    params |= {f"{name}__{key}": v for key, v in nested.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments or their nested parameters."""
        nested_params: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            own_name, separator, key = name.partition("__")
            if own_name not in self._parameter_names():
                raise OptionError(
                    f"{type(self).__name__} has no parameter {name!r}; "
                    f"choose one of {', '.join(self._parameter_names())}."
                )
            if separator:
                nested_params.setdefault(own_name, {})[key] = value
            else:
                setattr(self, name, value)
        for name, values in nested_params.items():
            self._set_nested_params(name, values)
        return self

    def _nested_estimator(self, name: str) -> Any:
        """Return the value of a parameter if it has nested parameters, else None."""
        value = getattr(self, name)
        is_estimator = hasattr(value, "get_params") and not isinstance(value, type)
        return value if is_estimator else None

    def _set_nested_params(self, name: str, values: dict[str, Any]) -> None:
        nested = self._nested_estimator(name)
        if nested is None:
            raise OptionError(
                Parameter(name),
                f" is {getattr(self, name)!r}, which has no parameter "
                f"{next(iter(values))!r}; give an object that has it.",
            )
        nested.set_params(**values)

    # Output ---------------------------------------------------------------------------------------

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
        """Choose the output of `transform`: "default" (an array), "pandas" or "polars" (a frame).

        None leaves the setting unchanged. Without a setting, `sklearn.set_config` decides.
        """
        if transform is not None:
            check_choice("transform", transform, ("default", "pandas", "polars"))
            self._sklearn_output_config = {"transform": transform}
        return self

    def _to_output(self, columns: F32, names: list[str], X: object) -> Any:
        """Return columns for the rows of `X` in the format chosen by `set_output`."""
        default = _sklearn_setting("transform_output", "default")
        container = getattr(self, "_sklearn_output_config", {}).get("transform", default)
        if container == "default":
            return columns
        library = importlib.import_module(container)
        if container == "polars":
            return library.DataFrame(columns, schema=names, orient="row")
        index = X.index if isinstance(X, library.Series) else None
        return library.DataFrame(columns, columns=names, index=index)

    # Metadata routing -----------------------------------------------------------------------------

    def get_metadata_routing(self) -> Any:
        """Return the `MetadataRequest`: which metadata meta-estimators pass to which method."""
        from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

        if hasattr(self, "_metadata_request"):
            return get_routing_for_object(self._metadata_request)
        routing = MetadataRequest(owner=type(self).__name__)
        for method in ("fit", "partial_fit", "score"):
            for name in inspect.signature(getattr(self, method)).parameters:
                if name not in _NOT_METADATA:
                    getattr(routing, method).add_request(param=name, alias=None)
        return routing

    def set_fit_request(self, **requests: Request) -> Self:
        """Set which metadata meta-estimators pass to `fit`.

        Requires `sklearn.set_config(enable_metadata_routing=True)`.

        Parameters
        ----------
        **requests : bool, str or None
            For `sample_weight`, `validation_data`, `X_unlabelled` or `progress`: True passes the
            parameter on, False doesn't, None raises an error if it is given, and a str is an alias
            under which callers pass it.
        """
        return self._set_requests("fit", requests)

    def set_partial_fit_request(self, **requests: Request) -> Self:
        """Set the requests for `classes` and `sample_weight`; see `set_fit_request`."""
        return self._set_requests("partial_fit", requests)

    def set_score_request(self, **requests: Request) -> Self:
        """Set the request for `sample_weight` of `score`; see `set_fit_request`."""
        return self._set_requests("score", requests)

    def _set_requests(self, method: str, requests: dict[str, Request]) -> Self:
        if not _sklearn_setting("enable_metadata_routing", False):
            raise OptionError(
                f"`set_{method}_request` needs metadata routing, which is off; call "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        routing = self.get_metadata_routing()
        names = getattr(routing, method).requests
        for name, request in requests.items():
            if name not in names:
                raise OptionError(
                    f"`{method}` has no metadata {name!r}; give {join_words([*names])}."
                )
            if isinstance(request, str) and not request.isidentifier():
                raise OptionError(
                    Parameter(name), f" is {request!r}; give True, False, None, or an alias."
                )
            getattr(routing, method).add_request(param=name, alias=request)
        self._metadata_request = routing
        return self

    # Representation and tags ----------------------------------------------------------------------

    def __repr__(self) -> str:
        return format_call(self)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: a classifier of strings, single-label or multilabel."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_label=True),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )


def _sklearn_setting(name: str, default: object) -> Any:
    """Return a scikit-learn setting, or `default` if scikit-learn isn't imported."""
    sklearn = sys.modules.get("sklearn")
    return sklearn.get_config()[name] if sklearn else default
