//! Programs that were written by hand, because chance takes too long to find them.
