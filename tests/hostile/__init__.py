"""Files made to open a door, to fill the memory, or to take a core for ever."""
