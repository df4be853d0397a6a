"""Model families in pure torch."""
