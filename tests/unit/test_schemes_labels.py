"""The store of labels."""

import numpy as np
import pytest

from infraspot.core.errors import DataError, UsageError
from infraspot.schemes import LabelStore


def test_hard_and_soft_labels_come_back_as_they_went_in(rng: np.random.Generator) -> None:
    store = LabelStore()
    hard, soft = (
        rng.random((5, 7)) > 0.8,
        (rng.random((4, 6)) * (rng.random((4, 6)) > 0.5)).astype(np.float32),
    )
    store["hard"], store["soft"], store["empty"] = hard, soft, np.zeros((3, 3), bool)
    assert store["hard"].dtype == bool
    assert store["soft"].dtype == np.float32
    for id, label in (("hard", hard), ("soft", soft), ("empty", np.zeros((3, 3)))):
        assert np.array_equal(store[id], label)
    copy = LabelStore()
    store.active = ["soft", "hard"]
    copy.load_state_dict(store.state_dict())
    assert copy.active == ("soft", "hard")
    assert copy.fingerprint() == store.fingerprint()
    assert all(np.array_equal(copy[id], store[id]) for id in store)


def test_a_label_may_be_changed_without_changing_the_store() -> None:
    store = LabelStore()
    store["a"] = np.eye(3, dtype=bool)
    store["a"][:] = False
    assert store["a"].sum() == 3


def test_a_soft_label_of_zeros_and_ones_becomes_a_hard_one() -> None:
    store = LabelStore()
    store["a"] = np.eye(3, dtype=np.float32)
    assert store["a"].dtype == bool


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_values_outside_the_unit_interval_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"a: a label must lie in \[0, 1\]"):
        LabelStore()["a"] = np.array([[0.0, value]], np.float32)


def test_a_frame_without_a_label_is_named() -> None:
    with pytest.raises(DataError, match="frame9: there is no label"):
        LabelStore()["frame9"]


def test_a_frozen_store_refuses_changes_with_a_sentence() -> None:
    store = LabelStore()
    store["a"] = np.eye(3, dtype=bool)
    store.active = ["a"]
    with store.frozen():
        with pytest.raises(UsageError, match="the label of a cannot change within an epoch"):
            store["a"] = np.zeros((3, 3), bool)
        with pytest.raises(UsageError, match="the pool of active frames cannot change within an epoch"):
            store.active = []
        assert store["a"].sum() == 3
    store.active = []
    assert store.active == ()


def test_the_fingerprint_sees_every_label_and_the_pool() -> None:
    store = LabelStore()
    store["a"] = np.eye(3, dtype=bool)
    seen = {store.fingerprint()}
    store.active = ["a"]
    seen.add(store.fingerprint())
    store["a"] = 0.5 * np.eye(3, dtype=np.float32)
    seen.add(store.fingerprint())
    store["a"] = 0.25 * np.eye(3, dtype=np.float32)
    seen.add(store.fingerprint())
    assert len(seen) == 4
