"""Sessions: what their events say of them, who may see them, and the index that finds them."""
