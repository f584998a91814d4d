//! The model broker on free loopback ports, for TCP and WebSocket, as `mqtt broker` serves it.

use core::net::SocketAddr;
use std::thread::{self, JoinHandle};

use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::tcp::{Handle, TcpBroker};

/// A running model broker. It ends with this value.
#[derive(Debug)]
pub struct Model {
    address: SocketAddr,
    ws_address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Model {
    /// Starts one that allows everything.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn start() -> Self {
        Self::with(BrokerConfig::default())
    }

    /// Starts one with these limits.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn with(config: BrokerConfig) -> Self {
        let mut broker = TcpBroker::bind("127.0.0.1:0", config).expect("a loopback port is free");
        let ws_address = broker.listen_ws("127.0.0.1:0").expect("a loopback port is free");
        let (address, handle) = (broker.local_addr(), broker.handle());
        let thread = thread::spawn(move || broker.run().expect("the broker can wait for its sockets"));
        Self { address, ws_address, handle, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for WebSocket.
    #[must_use]
    pub fn ws_address(&self) -> SocketAddr {
        self.ws_address
    }

    /// Cuts connections, and so on.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
