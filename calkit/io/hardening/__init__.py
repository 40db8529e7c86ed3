"""What keeps a damaged or hostile file from doing harm: bounds, one clear error, a process of its own."""
