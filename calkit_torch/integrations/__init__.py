"""calkit in other people's training loops: callbacks for Lightning and for the Trainer of Hugging Face.

``calkit_torch.integrations.lightning`` (for ``pytorch_lightning`` use the module of that name) and
``calkit_torch.integrations.transformers`` each hold a ``CalibrationCallback``. They are imported one by one, since each
needs its library.
"""

__all__: list[str] = []
