//! The project's own chores: `cargo xtask test | bench | ci`.

fn main() {}
