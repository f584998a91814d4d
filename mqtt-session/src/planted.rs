//! Defects on purpose, for the project's own use: with them it is shown that its simulator finds what clients are known to
//! get wrong. They are compiled with `--cfg planted="chosen"` alone; `scripts/planted.sh` does that. Anything else is compiled
//! as if they were not there.

/// Whether the defect of this name is planted.
#[cfg(not(planted = "chosen"))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

#[cfg(planted = "chosen")]
macro_rules! planted {
    ($name:literal) => {
        crate::planted::is($name)
    };
}

pub(crate) use planted;

#[cfg(planted = "chosen")]
mod chosen {
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// Their names.
    pub const ALL: [&str; 12] = [
        "publish-after-pubrel",
        "dup-missing",
        "identifier-reused-early",
        "quota-kept",
        "aliases-kept",
        "inbound-set-cleared",
        "ack-before-stored",
        "backoff-reset-by-connack",
        "resubscribed-once",
        "partial-packet-kept",
        "connect-starved",
        "resend-reordered",
    ];

    static CHOSEN: AtomicUsize = AtomicUsize::new(usize::MAX);

    /// All sessions of the program have this defect from now on, and no other; none: of an unknown name.
    pub fn plant(name: &str) {
        CHOSEN.store(ALL.iter().position(|known| *known == name).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    pub(crate) fn is(name: &str) -> bool {
        ALL.get(CHOSEN.load(Ordering::Relaxed)).is_some_and(|chosen| *chosen == name)
    }
}

#[cfg(planted = "chosen")]
pub(crate) use chosen::is;
#[cfg(planted = "chosen")]
pub use chosen::{ALL, plant};
