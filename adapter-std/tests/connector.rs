//! Streams of the application's own in place of sockets; what they carry is tested in `tests/tests/transports`.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use mqtt_adapter_std::{ByteStream, Client, Options};
use peer::{Got, PATIENCE, Server};

#[test]
fn threads_of_blocking_halves_end_with_the_connection() {
    /// Tells when it is dropped.
    struct Half(TcpStream, #[expect(dead_code, reason = "it is dropped")] mpsc::Sender<()>);

    impl std::io::Read for Half {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl std::io::Write for Half {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let server = Server::new();
    let (address, (alive, gone)) = (server.address(), mpsc::channel());
    let options = Options::new("mqtt://nowhere.invalid").unwrap().with_connector(move |_| {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        ByteStream::blocking(Half(socket.try_clone()?, alive.clone()), Half(socket, alive.clone()))
    });
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        let got = link.next();
        // The client's side stays open as long as this one.
        (got, link)
    });
    let client = Client::connect(options).unwrap();
    client.stop(PATIENCE);
    drop(client);
    let (got, link) = script.join().unwrap();
    assert!(matches!(got, Got::Disconnect(_)));
    // The connector's own sender goes with the options, those of the halves with their threads.
    assert_eq!(gone.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    drop(link);
}
