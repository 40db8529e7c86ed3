"""One of two processes that validate: started through torchrun by the tests of the integrations.

python -m torch.distributed.run ... integrations_rank.py lightning|transformers FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def lightning(folder: Path) -> None:
    import lightning.pytorch as pl
    from test_integrations_lightning import both, data, make_module
    from torch.utils.data import DataLoader

    from calkit_torch.integrations.lightning import CalibrationCallback

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
        _leave(folder, module.net, trainer.callback_metrics["val_adaece"].item())


def transformers(folder: Path) -> None:
    from test_integrations_transformers import Rows, make_trainer

    from calkit_torch.integrations.transformers import CalibrationCallback

    calibration = CalibrationCallback(folder)
    trainer = make_trainer(folder, calibration, validation=Rows(51, 1), ddp_backend="gloo")
    trainer.train()
    found = trainer.predict(Rows(37, 2))
    if trainer.is_world_process_zero():
        _leave(folder, trainer.model, found.metrics["test_adaece"])


def _leave(folder: Path, net: torch.nn.Module, logged: float) -> None:
    torch.save(net.state_dict(), folder / "net.pt")
    (folder / "logged.txt").write_text(str(logged))


if __name__ == "__main__":
    {"lightning": lightning, "transformers": transformers}[sys.argv[1]](Path(sys.argv[2]))
