"""m3it/training/settings.py: what a run can be asked for."""

import pytest

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")
pytest.importorskip("accelerate", reason="accelerate is an extra")

from m3it.training.settings import Settings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs=0: expected a number above 0"),
        ({"epochs": float("nan")}, "epochs=nan: expected"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0: expected a number above 0"),
        ({"max_length": 0}, "max_length=0: expected 1 or more"),
        ({"workers": -1}, "workers=-1: expected 0 or more"),
    ],
)
def test_settings_of_no_run_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Settings(**options)
