"""What keeps a damaged or hostile file from doing harm: bounds, one clear error, no mixture of two files."""
