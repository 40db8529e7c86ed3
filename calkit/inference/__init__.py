"""What a calibration error is worth: its floor, interval, tests. Pure functions of sums and arrays."""
