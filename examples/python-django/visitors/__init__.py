"""The app: visitors of the guest book."""
