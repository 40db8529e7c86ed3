"""Losses of calkit in scikit-learn's grid search, by way of skorch.

skorch makes a scikit-learn classifier of a network. A loss of calkit is its criterion; its specification is built by
``get_loss``, so a grid search may go over losses as over anything else. The criterion takes logits, and skorch's
``predict_nonlinearity`` turns them into probabilities. A temperature is fitted on the validation logits in the end.

    pip install skorch
    python examples/skorch_criterion.py
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch import NeuralNetClassifier

import calkit
from calkit_torch.losses import get_loss
from calkit_torch.models import get_model

NOISE = 4.0  # standard deviation, in grey levels of 0..16


def negative_nll(classifier: NeuralNetClassifier, x, y) -> float:
    """What the grid search makes large."""
    return -calkit.nll(y, classifier.predict_proba(x))


def make_classifier() -> NeuralNetClassifier:
    return NeuralNetClassifier(
        get_model("mlp", n_classes=10, in_features=64),
        criterion=get_loss,
        criterion__spec="ce",
        predict_nonlinearity=lambda logits: torch.softmax(logits, dim=1),
        optimizer=torch.optim.Adam,
        lr=1e-2,
        batch_size=64,
        max_epochs=60,
        train_split=None,
        verbose=0,
    )


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = ((x + np.random.default_rng(0).normal(0, NOISE, x.shape)) / 16).astype("float32")
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, train_size=300, random_state=0, stratify=y)
    x_val, x_test, y_val, y_test = train_test_split(x_rest, y_rest, train_size=500, random_state=0, stratify=y_rest)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = {"criterion__spec": ["ce", "label-smoothing:0.05", "FLA-53"]}
        search = GridSearchCV(make_classifier(), losses, scoring=negative_nll, cv=3).fit(x_train, y_train)
    scores = search.cv_results_["mean_test_score"]
    for loss, score in zip(losses["criterion__spec"], scores, strict=True):
        print(f"{loss:22} NLL {-score:.4f}")

    net = search.best_estimator_
    validation, test = (net.forward(part).numpy() for part in (x_val, x_test))  # logits
    calibrator = calkit.TemperatureScaling().fit(validation, y_val)
    print(f"\n{search.best_params_['criterion__spec']}, temperature {calibrator.temperature_:.3f}")
    before = calkit.Predictions(test, y_test, kind="logits")
    for name, predictions in (("before", before), ("after", calibrator.apply(before))):
        found = calkit.evaluate(predictions, ["error", "ece", "nll"])
        print(f"{name:7} error {found['error']:.3f}  ECE {found['ece']:.4f}  NLL {found['nll']:.4f}")


if __name__ == "__main__":
    main()
