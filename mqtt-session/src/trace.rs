//! What the engine writes to a log, if one is there: the features `log` and `defmt`.
//!
//! Connections, refusals and their reasons; never content: no topic, payload, property, user name or password. Both
//! features only add, and may be on together. `defmt` gets texts that were formatted here, because what they are made
//! of comes from a crate that does not know it; it is for targets without an operating system, and elsewhere, where
//! nothing would link what it writes to, its lines are checked and never run.

/// Writes one line. Without a log nothing is formatted, and nothing is left of it.
macro_rules! line {
    ($level:ident, $($text:tt)+) => {{
        #[cfg(feature = "log")]
        log::$level!(target: "mqtt_session", $($text)+);
        #[cfg(all(feature = "defmt", target_os = "none"))]
        defmt::$level!("{}", defmt::Display2Format(&core::format_args!($($text)+)));
        #[cfg(all(feature = "defmt", not(target_os = "none")))]
        let _ = || defmt::$level!("{}", defmt::Display2Format(&core::format_args!($($text)+)));
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        if false {
            let _ = core::format_args!($($text)+);
        }
    }};
}

/// An event in the life of a connection.
macro_rules! debug {
    ($($text:tt)+) => { $crate::trace::line!(debug, $($text)+) };
}

/// A step on the way.
macro_rules! trace {
    ($($text:tt)+) => { $crate::trace::line!(trace, $($text)+) };
}

pub(crate) use {debug, line, trace};
