//! What runs by the clock: the session's own expiry, deadlines of requests, delays.

mod common;

use core::time::Duration;

use common::Seen;
use mqtt_session::{Closed, Why};

scenario!(
    /// [A7] However a healthy connection ended, the delays begin anew.
    a07_a_healthy_connection_that_the_session_itself_ends_resets_the_backoff,
    common::VERSIONS,
    |t| {
        for _ in 0..6 {
            t.open();
            t.close(Closed::Failed);
        }
        t.connect();
        t.after(Duration::from_secs(69));
        t.after(Duration::from_secs(2));
        assert_eq!(t.closes_somehow(), Why::PingTimeout);
        t.after_backoff();
        t.see(Seen::Connecting { attempt: 1, server: 0 });
    }
);
