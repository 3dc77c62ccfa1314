"""The scrub: a slow walk in the background that looks whether everything stored is still there, byte for byte."""
