"""Train the classifier whose logits ship with calkit (``calkit.datasets.load_digits_logits``).

A small network learns scikit-learn's handwritten digits, seen through noise, from 300 images and without any
regularisation, until it fits them perfectly. On images it has not seen it is right four times in five and almost
always sure: the over-confidence that calkit measures and corrects. Its validation and test logits are written as one
compressed file, the same on every run.

Run it with ``python examples/make_digits_logits.py [OUTPUT.npz]``.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from calkit.atomic import atomic_write

SEED = 0
NOISE = 4.0  # standard deviation, in grey levels of 0..16
N_TRAIN, N_VALIDATION = 300, 598  # the other 899 images are the test set


def make_logits() -> dict[str, np.ndarray]:
    """Return the arrays of the file: validation and test logits (float32) with their labels (uint8)."""
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(SEED)
    pixels = (images + NOISE * rng.standard_normal(images.shape)) / 16
    train, rest, y_train, y_rest = train_test_split(
        pixels, labels, train_size=N_TRAIN, stratify=labels, random_state=SEED
    )
    validation, test, y_validation, y_test = train_test_split(
        rest, y_rest, train_size=N_VALIDATION, stratify=y_rest, random_state=SEED
    )
    epochs = 2000
    network = MLPClassifier(
        (64,), alpha=0, learning_rate_init=3e-3, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=SEED
    )
    network.fit(train, y_train)

    def logits(x: np.ndarray) -> np.ndarray:
        hidden = np.maximum(x @ network.coefs_[0] + network.intercepts_[0], 0)
        return (hidden @ network.coefs_[1] + network.intercepts_[1]).astype(np.float32)

    return {
        "val_logits": logits(validation),
        "val_labels": y_validation.astype(np.uint8),
        "test_logits": logits(test),
        "test_labels": y_test.astype(np.uint8),
    }


def main() -> None:
    default = Path(__file__).parents[1] / "calkit" / "data" / "digits-mlp.npz"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    with atomic_write(target) as temporary:
        np.savez_compressed(temporary, **make_logits())
    print(f"wrote {target}")


if __name__ == "__main__":
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Training to the last epoch is the point.
        warnings.simplefilter("ignore", ConvergenceWarning)
        main()
