"""Calibration in a training by Hugging Face's Trainer: logged, calibrated and kept for calkit.

A tiny BERT, made from a configuration, learns to tell whether the first half of a row of words holds more ones than the
second; one label in ten is wrong. The callback's ``compute_metrics`` logs calibration at each evaluation;
``logits.npz`` and ``calibrator.json`` are left behind.

    pip install transformers accelerate
    python examples/transformers_callback.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

from calkit_torch.integrations.transformers import CalibrationCallback
from calkit_torch.losses import get_loss

LENGTH = 8


class Rows(Dataset):
    def __init__(self, n: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.words = torch.randint(2, (n, LENGTH), generator=generator)
        first, second = self.words.chunk(2, dim=1)
        wrong = torch.rand(n, generator=generator) < 0.1
        self.labels = (first.sum(1) > second.sum(1)).logical_xor(wrong).long()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict:
        return {"input_ids": self.words[i], "labels": self.labels[i]}


LOSS = get_loss("focal:1", reduction="sum")


def loss_of(outputs, labels, num_items_in_batch=None) -> torch.Tensor:
    """A loss of calkit, as Trainer calls it.

    In training Trainer says how many labels there are in all batches of an accumulated step, and adds up what each of
    them returns: a sum over the batch, divided by that number. A mean would multiply the gradient by the number of
    batches. In evaluation there is no such number.
    """
    n_items = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
    return LOSS(outputs.logits, labels) / n_items


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    set_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=2,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=LENGTH,
        )
    )
    calibration = CalibrationCallback(folder)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                scratch,
                num_train_epochs=6,
                learning_rate=5e-3,
                per_device_train_batch_size=32,
                per_device_eval_batch_size=250,
                eval_strategy="epoch",
                save_strategy="no",
                use_cpu=True,
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=Rows(1000, 0),
            eval_dataset=Rows(500, 1),
            compute_loss_func=loss_of,
            compute_metrics=calibration.compute_metrics,
            callbacks=[calibration],
        )
        trainer.train()
        found = trainer.predict(Rows(1000, 2)).metrics
    print(f"test ECE {found['test_ece']:.4f}, NLL {found['test_nll']:.4f}")
    print(f"temperature {calibration.calibrator.temperature_:.3f}")
    print(f"wrote {folder / 'logits.npz'}; next: calkit evaluate {folder / 'logits.npz'} -m temperature")


if __name__ == "__main__":
    main()
