//! The `dyno` command.

fn main() {}
