//! Slugs as their users see them: written, read back, and refused when they are forged.
#![allow(clippy::unwrap_used)]

mod building;
mod forge;
mod hostile_images;
mod hostile_layers;
mod store;
