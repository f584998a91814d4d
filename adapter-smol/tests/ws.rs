//! MQTT over WebSocket in the async client. What is refused is tested once, in the blocking adapter: the code is the same.

#![cfg(feature = "ws")]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/ws.rs"]
mod ws;

use std::thread;

use futures_lite::future;
use mqtt_adapter_smol::{Options, Outcome, Publish, Qos, ReasonCode, connect};
use peer::{Got, PATIENCE, Server};

#[test]
fn messages_of_every_size_pass_both_ways() {
    let server = Server::new();
    let mut options = Options::new(&format!("ws://{}/mqtt", server.address())).unwrap();
    options.engine_mut().max_packet_in = 1 << 24;
    let (client, connection) = connect(options).unwrap();
    let script = thread::spawn(move || {
        let (mut link, asked, _) = ws::link(server.accept_socket(), 10_000);
        assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt", "mqtt"));
        link.welcome(false);
        loop {
            match link.next() {
                Got::Publish { payload, id, .. } => {
                    link.puback(id);
                    link.publish("echo", &payload, Qos::AtMostOnce, 0);
                }
                Got::Disconnect(_) => return link.next(),
                got => panic!("{got:?}"),
            }
        }
    });
    let application = async {
        client.connected().await.unwrap();
        for size in [0, 1, 125, 126, 65_535, 65_536, 300_000, 3_000_000] {
            let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
            let receipt = client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).await.unwrap();
            assert_eq!(client.recv().await.unwrap().payload(), payload, "{size} bytes");
            assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
        }
        assert_eq!(client.stop(PATIENCE).await, 0);
    };
    future::block_on(future::zip(application, connection));
    assert_eq!(script.join().unwrap(), Got::End);
}
