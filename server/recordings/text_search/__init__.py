"""Text in recordings: what terminals showed and what databases were asked, indexed and found."""
