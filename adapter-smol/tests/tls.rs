//! TLS and Unix sockets in the async client. What they refuse is tested once, in the blocking adapter: the code is the
//! same.

#![cfg(feature = "tls")]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/tls.rs"]
mod tls;

use std::thread;

use futures_lite::future;
use mqtt_adapter_smol::{Cause, ConnectError, Options, Outcome, Publish, Qos, ReasonCode, Tls, Why, connect};
use peer::{Got, PATIENCE, Server};
use tls::Authority;

fn options(server: &Server, authority: &Authority) -> Options {
    let url = format!("mqtts://localhost:{}", server.address().port());
    let tls = Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap();
    let mut options = Options::new(&url).unwrap().with_tls(tls);
    options.engine_mut().max_packet_in = 1 << 24;
    options
}

#[test]
fn messages_of_every_size_pass_both_ways() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let (client, connection) = connect(options(&server, &authority)).unwrap();
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
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
        for size in [0, 1, 16_384, 16_385, 1_000_000, 8_000_000] {
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

#[test]
fn a09_a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("other.example"), None);
    let server = Server::new();
    let (client, connection) = connect(options(&server, &authority)).unwrap();
    let script =
        thread::spawn(move || tls::link(&config, server.accept_socket()).map(|mut link| link.next()));
    let application = async {
        let Err(ConnectError::Failed(end)) = client.connected().await else { panic!("connected") };
        client.stop(PATIENCE).await;
        end
    };
    let (end, ()) = future::block_on(future::zip(application, connection));
    assert_eq!(end.why, Why::DialFailed);
    assert!(
        matches!(&end.cause, Some(Cause::Tls { detail, .. }) if detail.contains("not valid for name")),
        "{end}"
    );
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End));
}

#[cfg(unix)]
#[test]
fn a_client_works_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("mqtt-smol-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let script = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut link = peer::Link::over(socket);
        link.welcome(false);
        link.serve()
    });
    let (client, connection) = connect(Options::new(&format!("unix://{}", path.display())).unwrap()).unwrap();
    let application = async {
        client.connected().await.unwrap();
        let receipt = client.publish(Publish::new("a", "x").qos(Qos::ExactlyOnce)).await.unwrap();
        assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
        assert_eq!(client.stop(PATIENCE).await, 0);
    };
    future::block_on(future::zip(application, connection));
    assert_eq!(script.join().unwrap().last(), Some(&Got::Disconnect(ReasonCode::Success)));
    std::fs::remove_file(path).unwrap();
}
