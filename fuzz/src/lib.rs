//! What the fuzz targets check. The checks themselves are shared with `cargo test`, which replays the corpora.

pub mod checks;
pub mod peer;
#[path = "../../mqtt-proto/tests/support/mod.rs"]
pub mod support;
