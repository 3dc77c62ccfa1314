"""Playback: what a session showed, made safe for a terminal, as lines of text, or in other formats. Pure code."""
