"""One of two processes in which Lightning validates: started by test_integrations_lightning.py through torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as pl
import torch
from test_integrations_lightning import both, data, make_module
from torch.utils.data import DataLoader

from calkit_torch.integrations.lightning import CalibrationCallback


def main(folder: Path) -> None:
    callback = CalibrationCallback(folder)
    module = make_module(pl, both)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[callback],
    )
    trainer.fit(module, DataLoader(data(64, 0), batch_size=16), DataLoader(data(51, 1), batch_size=16))
    if trainer.is_global_zero:
        torch.save(module.net.state_dict(), folder / "net.pt")
        (folder / "logged.txt").write_text(str(trainer.callback_metrics["val_adaece"].item()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
