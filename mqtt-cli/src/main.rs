//! The program `mqtt`.
fn main() {}
