"""Bearer tokens: who they say is calling, the keys that vouch for them, and where those keys come from."""
