"""Plain values: everything that crosses a file, read and checked once at the door. No torch here."""
