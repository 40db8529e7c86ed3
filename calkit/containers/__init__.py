"""Named arrays of files: described when a file is opened, read when they are wanted."""
