//! A server's side of TLS.

#![allow(unreachable_pub, reason = "as in the peer beside it")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::peer::{Link, Pipe};
pub use mqtt_tests::certificates::{Authority, Identity, self_signed};

/// A server's configuration; with `clients`, their certificates must be of that authority.
pub fn server(identity: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    Arc::new(config)
}

struct Encrypted(Stream);

impl Read for Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Pipe for Encrypted {
    /// Without a word of TLS about it.
    fn cut(&self) {
        self.0.sock.cut();
    }
}

/// The server's side of TLS over an accepted socket.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// It, with its handshake done, or why it cannot be.
pub fn accept(config: &Arc<ServerConfig>, mut socket: TcpStream) -> io::Result<Stream> {
    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// The same for packets.
pub fn link(config: &Arc<ServerConfig>, socket: TcpStream) -> io::Result<Link> {
    accept(config, socket).map(|stream| Link::over(Encrypted(stream)))
}

/// A server of echoes for one client.
pub fn echo(config: &Arc<ServerConfig>, socket: TcpStream) {
    crate::common::echo(&mut link(config, socket).unwrap());
}

/// Packets over a stream that was accepted.
pub fn over(stream: Stream) -> Link {
    Link::over(Encrypted(stream))
}
