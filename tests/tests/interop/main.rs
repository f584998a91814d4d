//! The clients against mosquitto: three versions, three levels of quality, every driver.
//!
//! A scenario is a generic function over the driver; `matrix!` makes a test of it for each driver and version, so that
//! the name of a failing test says which: `cuts::exactly_once::smol::v5`.

/// Tests for each driver and version of scenarios `fn name<A: Adapter>(version: Version)` that stand beside it.
macro_rules! matrix {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            matrix!(@driver $name threads Threads);
            matrix!(@driver $name driven Driven);
            matrix!(@driver $name smol Smol);
        }
    )+};
    (@driver $name:ident $module:ident $driver:ident) => {
        mod $module {
            use mqtt_adapter_std::Version;
            use mqtt_tests::adapter::$driver;

            #[test]
            fn v3_1() {
                super::super::$name::<$driver>(Version::V3_1);
            }

            #[test]
            fn v3_1_1() {
                super::super::$name::<$driver>(Version::V3_1_1);
            }

            #[test]
            fn v5() {
                super::super::$name::<$driver>(Version::V5);
            }
        }
    };
}

mod common;

mod cuts;
mod flow;
mod keep_alive;
mod refusals;
mod restart;
mod retained_and_wills;
mod stop;
mod taken_over;
