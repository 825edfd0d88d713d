//! `cargo x`: see `cargo x --help`.

fn main() {}
