"""They carry command lines to devices, and know nothing of what runs there."""
