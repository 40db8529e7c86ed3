"""Parametric calibrators: maps of log-probabilities whose parameters minimise a regularised log-loss."""
