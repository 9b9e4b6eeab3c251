//! Side-by-side benchmarks of dyno, raw hyper and `wasmtime serve`.

fn main() {}
