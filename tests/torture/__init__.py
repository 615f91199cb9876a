"""`make torture`: kills, bad inputs and damaged files, drawn by a seed; each case has one right answer, and every other is a fault."""
