"""The whole API in this process, over a real store and a real Valkey."""
