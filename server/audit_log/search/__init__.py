"""Search: pin the tail, plan from the catalogue, read tail and engine in order, merge, page."""
