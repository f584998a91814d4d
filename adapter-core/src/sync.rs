//! What threads meet at: the standard library's, or loom's, which tries every order (`tests/loom.rs`).

#[cfg(not(loom))]
pub(crate) use {
    core::sync::atomic::AtomicUsize,
    std::sync::{Mutex, MutexGuard},
};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicUsize};

/// What a clock says; under loom, where nothing may differ from run to run, it stands still.
pub(crate) fn now() -> std::time::Instant {
    #[cfg(not(loom))]
    return std::time::Instant::now();
    #[cfg(loom)]
    {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        *START
    }
}
