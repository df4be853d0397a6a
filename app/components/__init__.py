"""What several pages draw with: brains, matrices, points, strips."""
