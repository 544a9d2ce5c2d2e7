"""Training learns, from the train rows alone, the same way each time, and keeps its best epoch."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galaxies.errors import InputError
from galaxies.heads.batches import ResidentBatches
from galaxies.heads.report import Fit
from galaxies.heads.train_params import TrainParams
from galaxies.params import parse_section
from tests.training import TEST, TRAIN, VAL, make_trainer, separable


def fit(features: NDArray[np.float32], targets: NDArray[np.int64], **changes: Any) -> Fit:
    return make_trainer(features, targets, **changes).fit().seeds[0]


def accuracy(fitted: Fit, features: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    with torch.inference_mode():
        predicted = fitted.head(torch.from_numpy(features[TEST])).argmax(1).numpy()
    return float((predicted == targets[TEST]).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd"},
        {"hidden_layers": (16, "relu")},
        {"class_weight": "balanced"},
        {"decrease_on_plateau": 1.0},
        {"batch_size": 1000},
        {"batch_size": 7},
    ],
    ids=str,
)
def test_a_separable_toy_set_is_learned(changes: dict[str, Any]) -> None:
    features, targets = separable()
    assert accuracy(fit(features, targets, **changes), features, targets) > 0.95


def test_the_same_seed_gives_the_same_weights_whatever_the_global_generator_does() -> None:
    features, targets = separable()
    torch.manual_seed(1)
    first = fit(features, targets, hidden_layers=(8, "relu"))
    torch.manual_seed(2)
    second = fit(features, targets, hidden_layers=(8, "relu"))
    other = fit(features, targets, hidden_layers=(8, "relu"), seed=1)
    weights = [torch.cat([p.flatten() for p in fitted.head.parameters()]) for fitted in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_test_rows_are_not_touched() -> None:
    features, targets = separable()
    clean = fit(features, targets)
    features[TEST], targets[TEST] = np.nan, 99
    assert all(
        torch.equal(a, b)
        for a, b in zip(clean.head.state_dict().values(), fit(features, targets).head.state_dict().values(), strict=True)
    )


def test_standardisation_sees_train_rows_only() -> None:
    features, targets = separable()
    features[VAL] += 1000
    head = fit(features, targets, num_epochs=1).head
    np.testing.assert_allclose(head.mean, features[TRAIN].mean(0), rtol=1e-5)
    np.testing.assert_allclose(head.std, features[TRAIN].std(0), rtol=1e-4)


def test_a_feature_that_never_varies_in_train_is_ignored() -> None:
    features, targets = separable()
    features[:, 5] = 3
    fitted = fit(features, targets)
    features[TEST, 5] = 1e9
    assert accuracy(fitted, features, targets) > 0.95


def test_the_best_epoch_is_the_one_kept() -> None:
    features, targets = separable()
    generator = np.random.default_rng(1)
    targets[TRAIN] = generator.integers(0, 3, len(TRAIN))  # Only to be learned by heart: validation gets worse.
    fitted = fit(features, targets, num_epochs=30, learning_rate=0.1)
    losses = fitted.epochs["val_loss"].tolist()
    assert fitted.best_epoch == int(np.argmin(losses)) + 1 < 30
    with torch.inference_mode():
        logits = fitted.head(torch.from_numpy(features[VAL]))
    assert float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets[VAL]))) == pytest.approx(
        min(losses), rel=1e-5
    )


def test_the_loss_is_computed_from_logits() -> None:
    """Softmax before cross-entropy costs points: the loss of a certain and right answer would stay at 0.55."""
    features, targets = separable()
    assert fit(features, targets, num_epochs=60, learning_rate=0.1).epochs["train_loss"].iloc[-1] < 0.05


def test_the_learning_rate_falls_on_a_plateau() -> None:
    features, targets = separable()
    targets[VAL] = (targets[VAL] + 1) % 3  # Validation never improves.
    rates = fit(features, targets, patience=2, num_epochs=9).epochs["learning_rate"].tolist()
    assert rates[0] == 0.01
    assert rates[-1] < 0.01
    constant = fit(features, targets, patience=2, num_epochs=9, decrease_on_plateau=1.0)
    assert set(constant.epochs["learning_rate"]) == {0.01}


def test_balanced_weights_help_a_rare_class() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random(240) < 0.08).astype(np.int64) * 2
    targets[[0, 130]] = 1
    features = (generator.normal(size=(240, 3)) + np.eye(3)[targets] * 1.2).astype(np.float32)
    recalls = []
    for class_weight in ("none", "balanced"):
        head = fit(features, targets, class_weight=class_weight).head
        predicted = head(torch.from_numpy(features)).argmax(1).numpy()
        recalls.append((predicted[targets == 2] == 2).mean())
    assert recalls[1] > recalls[0]


@pytest.mark.parametrize("value", [0.0, 0.1, 123.456, 12345.678])
def test_a_constant_feature_is_ignored_whatever_its_value(value: float) -> None:
    """float32's rounding gives a large constant a deviation above 0; dividing by it would blow the rounding up."""
    features, targets = separable()
    features[:, 3] = value
    assert torch.isinf(fit(features, targets, num_epochs=1).head.std[3])


def test_a_class_absent_from_train_is_named() -> None:
    features, targets = separable()
    targets[TRAIN] = np.minimum(targets[TRAIN], 1)
    with pytest.raises(InputError, match="no galaxy to train on in c"):
        fit(features, targets)


def test_a_loss_that_is_not_finite_names_the_epoch_the_batch_and_what_to_do() -> None:
    features, targets = separable()
    changes = {"learning_rate": 1e3, "optimizer": "sgd", "weight_decay": 1e3, "hidden_layers": (8, "relu", 8, "relu")}
    with pytest.raises(InputError, match=r"not finite in epoch 1, batch \d of 8; lower train\.learning_rate"):
        fit(features, targets, **changes)


def test_the_batch_named_is_the_first_whose_loss_is_not_finite() -> None:
    trainer = make_trainer(*separable())
    train = trainer._train
    assert isinstance(train, ResidentBatches)
    # Damaged after the standardisation, whose mean would spread it over all rows.
    train.activations[37] = torch.nan
    trainer.epoch = 1
    order = train.shuffled([trainer._generator(0, "order")])
    batch = next(number for number, (activations, _) in enumerate(order, 1) if activations.isnan().any())
    trainer.epoch = 0
    with pytest.raises(InputError, match=f"not finite in epoch 1, batch {batch} of 8"):
        trainer.run_epoch()


def test_a_validation_that_is_not_finite_says_so() -> None:
    features, targets = separable()
    features[VAL[0]] = np.nan
    with pytest.raises(InputError, match="not finite in epoch 1, in validation"):
        fit(features, targets)


def test_without_validation_rows_there_is_no_epoch_to_choose() -> None:
    features, targets = separable()
    with pytest.raises(InputError, match=r"no galaxy to validate with; raise split\.val_fraction"):
        fit(features, targets, val_rows=np.arange(0))


def test_biases_do_not_decay() -> None:
    """They carry how frequent a class is: with weights decayed away, the probabilities are the classes' shares."""
    targets = np.repeat(np.arange(3), [168, 48, 24])
    targets = np.random.default_rng(0).permutation(targets).astype(np.int64)
    features = np.random.default_rng(1).normal(size=(240, 4)).astype(np.float32)
    fitted = fit(features, targets, weight_decay=90.0, num_epochs=200, decrease_on_plateau=1.0)
    with torch.inference_mode():
        probabilities = torch.softmax(fitted.head(torch.from_numpy(features)), 1).mean(0)
    np.testing.assert_allclose(probabilities, np.bincount(targets[TRAIN]) / 120, atol=0.06)


def test_validation_is_weighted_as_training_is() -> None:
    features, targets = separable()
    fitted = fit(features, targets, class_weight="balanced", num_epochs=2)
    with torch.inference_mode():
        logits = fitted.head(torch.from_numpy(features[VAL]))
    weight = torch.from_numpy(120 / (3 * np.bincount(targets[TRAIN]))).float()
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets[VAL]), weight)
    assert fitted.epochs["val_loss"][fitted.best_epoch] == pytest.approx(float(expected), rel=1e-5)


def test_training_leaves_the_global_generator_alone() -> None:
    features, targets = separable()
    torch.manual_seed(12345)  # A state that no other training can have left.
    state = torch.get_rng_state()
    fit(features, targets, num_epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_a_head_that_comes_back_to_the_cpu() -> None:
    features, targets = separable()
    fitted = fit(features, targets, device="cuda")
    assert {parameter.device.type for parameter in fitted.head.parameters()} == {"cpu"}
    assert accuracy(fitted, features, targets) > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_layers": [512, "rellu"]}, "hidden_layers: found 'rellu'"),
        ({"hidden_layers": [0]}, "hidden_layers: found 0"),
        ({"learning_rate": "fast"}, "learning_rate: found 'fast'"),
        ({"seed": -1}, "seed: found -1, allowed is an integer from 0"),
        ({"learning_rate": 0.1, "weight_decay": 10.0}, "weight_decay: found 10, .* allowed is less than 10"),
        ({"ending": "kept"}, r"ending: found 'kept', allowed is drop \| keep"),
        ({"hidden_layers": ["dropout 1.5"]}, "hidden_layers: found 'dropout 1.5', allowed are .* as in `dropout 0.5`"),
        ({"hidden_layers": ["dropout"]}, "hidden_layers: found 'dropout', allowed are"),
        (
            {"sweep": {"learning_rate": [0.1, 2.0], "weight_decay": [0.6]}},
            "weight_decay: found 0.6, .* less than 0.5",
        ),
        (
            {"sweep": {"hidden_layers": [[512, "relu"]]}},
            r"train\.sweep\.hidden_layers: this key is gone; .* same layers; queue the runs, as with `dvc exp run --queue -S '",
        ),
        ({"sweep": {"momentum": [1]}}, r"sweep\.momentum: unknown key; the keys are learning_rate, weight_decay, label_sm"),
        ({"sweep": [0.1]}, r"sweep: found \[0\.1\], allowed is a mapping of learning_rate, weight_decay, label_smoothing"),
        ({"ending": "keep", "num_seeds": 2}, "ending: found keep, with num_seeds or sweep; .*Queue the runs"),
        ({"layer": "input"}, "ending: found drop, but at layer input there are no features yet"),
        ({"start_from_sha256": "any"}, "start_from_sha256: found a digest, but start_from names no head"),
    ],
)
def test_parameters_that_make_no_head_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_section(TrainParams, {"layer": "layer4", **change}, "train")
