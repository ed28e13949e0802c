"""Generated CRI messages; `make proto` regenerates them."""
