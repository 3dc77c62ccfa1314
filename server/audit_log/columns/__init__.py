"""The events of a message as columns over one buffer, checked and hashed by compiled code.

Python makes an object for every key and value of an event, which costs twenty times what the rest of its way does. Here
a message's events are read in place by functions that Numba compiles: one pass over the bytes, no object, no lock held.
What the scan doesn't know for certain to be right it leaves to `event.parse_event`, which alone refuses and explains.
"""
