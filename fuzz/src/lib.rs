//! What the fuzz targets check. The checks themselves are shared with `cargo test`, which replays the corpora.

pub mod checks;
#[path = "../../mqtt-session/tests/drive/mod.rs"]
pub mod drive;
pub mod peer;
#[path = "../../mqtt-proto/tests/support/mod.rs"]
pub mod support;
