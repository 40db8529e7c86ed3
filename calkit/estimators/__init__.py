"""Calibration measures as pure functions of arrays: probability, outcome and weight of each forecast."""
