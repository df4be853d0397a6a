"""What every floor above speaks of, without knowing any of them."""
