//! Durable sessions: what a client with a journal keeps over crashes, and what it says when it cannot.

/// Each scenario, run over every driver.
macro_rules! drivers {
    ($($scenario:ident),+ $(,)?) => {
        mod threads {
            $(#[test] fn $scenario() { super::$scenario::<mqtt_tests::adapter::Threads>("threads"); })+
        }
        mod driven {
            $(#[test] fn $scenario() { super::$scenario::<mqtt_tests::adapter::Driven>("driven"); })+
        }
        mod smol {
            $(#[test] fn $scenario() { super::$scenario::<mqtt_tests::adapter::Smol>("smol"); })+
        }
    };
}

mod disk;
mod kill;
mod stores;
