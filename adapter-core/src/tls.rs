//! TLS by rustls: what to trust, who to be, and the stream.

use core::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::transport::{LinkFacts, Through, Transport};

/// How to encrypt: whom to trust, and who to be.
///
/// TLS 1.2 and 1.3; the server's name is always checked against its certificate. There is no switch to turn that off.
///
/// ```no_run
/// use mqtt_adapter_core::{Options, Tls};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::builder().roots_pem(&std::fs::read("ca.pem")?)?.build()?;
/// let options = Options::new("mqtts://broker.example")?.with_tls(tls);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// The cryptography of this build.
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
fn provider() -> CryptoProvider {
    #[cfg(feature = "tls")]
    return rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "tls"))]
    return rustls::crypto::aws_lc_rs::default_provider();
}

impl Tls {
    /// Trusts the certificate authorities the platform trusts (features `tls` and `tls-aws-lc-rs`).
    ///
    /// # Errors
    /// [`TlsError::NoRoots`]: the platform has none.
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub fn platform() -> Result<Self, TlsError> {
        Self::builder().platform_roots()?.build()
    }

    /// Trusts nobody yet; with the cryptography of ring (feature `tls`) or, without that, of aws-lc-rs (feature
    /// `tls-aws-lc-rs`).
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub fn builder() -> TlsBuilder {
        Self::builder_with(Arc::new(provider()))
    }

    /// Trusts nobody yet; with cryptography of your choice.
    pub fn builder_with(provider: Arc<CryptoProvider>) -> TlsBuilder {
        TlsBuilder {
            provider,
            roots: RootCertStore::empty(),
            identity: None,
            alpn: Vec::new(),
            server_name: None,
        }
    }

    /// What is taken where nothing was said.
    pub(crate) fn by_default() -> Result<Self, TlsError> {
        #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
        return Self::platform();
        #[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
        return Err(TlsError::NoProvider);
    }

    /// A configuration of rustls of your own; whatever it allows is allowed.
    #[must_use]
    pub const fn from_config(config: Arc<ClientConfig>) -> Self {
        Self { config, server_name: None }
    }

    pub(crate) fn stream<S>(&self, socket: S, host: &str) -> io::Result<TlsStream<S>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|error| invalid(error.to_string()))?,
        };
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        let connection = connection.map_err(|error| invalid(error.to_string()))?;
        Ok(TlsStream { socket, connection: Mutex::new(connection) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Makes a [`Tls`].
#[must_use = "call `build`"]
pub struct TlsBuilder {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    alpn: Vec<Vec<u8>>,
    server_name: Option<ServerName<'static>>,
}

impl TlsBuilder {
    /// Trusts the certificate authorities the platform trusts, beside those given otherwise (features `tls` and
    /// `tls-aws-lc-rs`).
    ///
    /// # Errors
    /// [`TlsError::NoRoots`]: the platform has none.
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub fn platform_roots(mut self) -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        // Some platforms carry certificates that nobody can use; those do no harm.
        let (added, _) = self.roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let detail = found.errors.first().map(ToString::to_string);
            return Err(TlsError::NoRoots(detail.unwrap_or_else(|| "none found".to_owned())));
        }
        Ok(self)
    }

    /// Trusts these certificate authorities (PEM, one or more).
    ///
    /// # Errors
    /// [`TlsError::Certificate`]: there is none, or one cannot be used.
    pub fn roots_pem(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        for certificate in certificates(pem)? {
            self.roots.add(certificate).map_err(|error| TlsError::Certificate(error.to_string()))?;
        }
        Ok(self)
    }

    /// Who to be, where the server asks for a client certificate: the chain, own certificate first, and the private
    /// key (PEM).
    ///
    /// # Errors
    /// [`TlsError::Certificate`] or [`TlsError::Key`].
    pub fn identity_pem(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
        self.identity = Some((chain, key));
        Ok(self)
    }

    /// Application protocols to offer, the preferred one first. Default none; a server that shares its port with
    /// other protocols wants `mqtt`.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The name the server's certificate must be for. Default: the host of its address.
    ///
    /// # Errors
    /// [`TlsError::ServerName`]: neither a host name nor an address.
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsError> {
        self.server_name = Some(ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName)?);
        Ok(self)
    }

    /// What was asked for.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`]: nobody is trusted; [`TlsError::Key`]: key and certificate do not belong together.
    pub fn build(self) -> Result<Tls, TlsError> {
        if self.roots.is_empty() {
            return Err(TlsError::NoRoots("name certificate authorities, or take the platform's".to_owned()));
        }
        let builder = ClientConfig::builder_with_provider(self.provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificate(error.to_string()))?
            .with_root_certificates(self.roots);
        let mut config = match self.identity {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Key(error.to_string()))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        Ok(Tls { config: Arc::new(config), server_name: self.server_name })
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder")
            .field("roots", &self.roots.len())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let list = list.map_err(|error| TlsError::Certificate(error.to_string()))?;
    if list.is_empty() { Err(TlsError::Certificate("there is none in the PEM".to_owned())) } else { Ok(list) }
}

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// Nobody is trusted.
    NoRoots(String),
    /// A certificate cannot be used.
    Certificate(String),
    /// The private key cannot be used, or not with this certificate.
    Key(String),
    /// Neither a host name nor an address.
    ServerName,
    /// This build has no cryptography of its own (feature `tls-no-provider` alone), and none was given.
    NoProvider,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots(detail) => write!(f, "no certificate authority is trusted: {detail}"),
            Self::Certificate(detail) => write!(f, "a certificate cannot be used: {detail}"),
            Self::Key(detail) => write!(f, "the private key cannot be used: {detail}"),
            Self::ServerName => f.write_str("the server's name is neither a host name nor an address"),
            Self::NoProvider => {
                f.write_str("no cryptography is part of this build: say by `with_tls` which to use")
            }
        }
    }
}

impl core::error::Error for TlsError {}

/// TLS over a socket. rustls does no input or output by itself: this moves its bytes, through a shared reference
/// and without blocking.
pub(crate) struct TlsStream<S> {
    socket: S,
    connection: Mutex<ClientConnection>,
}

impl<S> TlsStream<S> {
    pub(crate) const fn socket(&self) -> &S {
        &self.socket
    }
}

impl<S: Transport> TlsStream<S> {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn handshake(&self) -> io::Result<bool> {
        let mut connection = self.lock();
        loop {
            if !passed_on(self.send(&mut connection))? {
                return Ok(false);
            }
            if !connection.is_handshaking() {
                return Ok(true);
            }
            match self.fetch(&mut connection) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.lock().wants_write()
    }

    pub(crate) fn finish(&self) {
        let mut connection = self.lock();
        connection.send_close_notify();
        // The socket is closed in any case.
        let _ = self.send(&mut connection);
    }

    /// Encrypted bytes to the socket.
    fn send(&self, connection: &mut ClientConnection) -> io::Result<()> {
        while connection.wants_write() {
            match connection.write_tls(&mut Through(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Encrypted bytes from the socket; 0 is its end.
    fn fetch(&self, connection: &mut ClientConnection) -> io::Result<usize> {
        let read = loop {
            match connection.read_tls(&mut Through(&self.socket)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if let Err(error) = connection.process_new_packets() {
            // The alert that tells the peer why; whether it arrives changes nothing.
            let _ = self.send(connection);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(read)
    }
}

impl<S: Transport> Transport for TlsStream<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut connection = self.lock();
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without the peer's word for it is an error of kind `UnexpectedEof`.
                result => return result,
            }
            self.fetch(&mut connection)?;
            // An answer of TLS itself that finds no room leaves with the next write or flush.
            passed_on(self.send(&mut connection))?;
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut connection = self.lock();
        loop {
            // rustls takes as much as its buffer has room for, which may be nothing.
            let taken = connection.writer().write_vectored(slices)?;
            let sent = passed_on(self.send(&mut connection))?;
            if taken > 0 || slices.iter().all(|slice| slice.is_empty()) {
                return Ok(taken);
            }
            if !sent {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.send(&mut self.lock())?;
        self.socket.flush()
    }

    fn facts(&self) -> LinkFacts {
        let connection = self.lock();
        LinkFacts {
            tls_version: connection.protocol_version().map(u16::from),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            ..self.socket.facts()
        }
    }
}

/// Whether it went through; a socket that would block is no error.
fn passed_on(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
