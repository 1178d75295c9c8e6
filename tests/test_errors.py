"""The tree of exceptions: one root, and the built-in errors that handlers already expect."""

from __future__ import annotations

import pickle

import pytest
import sklearn.exceptions

from slugline import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("DataError", ValueError),
        ("OptionError", ValueError),
        ("DownloadError", OSError),
        ("EncoderError", RuntimeError),
        ("ModelFileError", ValueError),
        ("OutputError", OSError),
        ("StoreError", OSError),
        ("TrainingError", ArithmeticError),
        ("NotFittedError", sklearn.exceptions.NotFittedError),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_are_slugline_errors_and_built_in_ones(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.SluglineError)
    assert issubclass(error, builtin)
    assert error.__module__ == "slugline.errors"
    assert error.__doc__


def test_errors_are_listed() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SluglineError | UserWarning)
    }
    assert found | {"NotFittedError"} == set(errors.__all__)


def test_not_fitted_error_is_made_once_and_can_be_pickled() -> None:
    error = errors.NotFittedError("call fit first.")
    assert type(error) is errors.NotFittedError
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.NotFittedError
    assert str(again) == "call fit first."


def test_errors_module_raises_attribute_error_for_other_names() -> None:
    with pytest.raises(AttributeError) as caught:
        errors.NoSuchError  # noqa: B018
    assert str(caught.value) == "module 'slugline.errors' has no attribute 'NoSuchError'"
