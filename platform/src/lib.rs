//! The control plane: model, store, Platform API, builds, releases, reconciler, logs.
