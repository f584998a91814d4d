//! What else mosquitto listens with: passwords, TLS, client certificates, WebSocket, Unix sockets.

use core::net::SocketAddr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mqtt_adapter_std::{Options, Tls};

use super::{Mosquitto, program};
use crate::certificates::Authority;
use crate::folder::Folder;

/// What carries the packets, and who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// TCP; everyone is let in.
    Tcp,
    /// TCP; a name and a password are asked for.
    Password,
    /// TLS.
    Tls,
    /// TLS; a client certificate is asked for, and its common name is the user's.
    MutualTls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A Unix socket.
    Unix,
}

/// Name and password of [`Carrier::Password`]; bytes that have a meaning in URLs are among them.
const USER: (&str, &str) = ("lamp 7", "p@ss:w/rd");

/// The name of the Unix socket in the broker's folder.
const SOCKET: &str = "broker.sock";

/// How a client gets in.
#[derive(Debug, Clone)]
pub struct Door {
    scheme: &'static str,
    socket: Option<PathBuf>,
    tls: Option<Tls>,
    user: Option<(&'static str, &'static str)>,
}

impl Door {
    /// Plain TCP for everyone.
    pub const OPEN: Self = Self { scheme: "mqtt", socket: None, tls: None, user: None };

    /// Plain TCP for who says this.
    pub(crate) const fn asking(user: &'static str, password: &'static str) -> Self {
        Self { user: Some((user, password)), ..Self::OPEN }
    }

    /// The URL of a listener; that of a proxy in front of it is made alike. A Unix socket has its own.
    #[must_use]
    pub fn url(&self, address: SocketAddr) -> String {
        match &self.socket {
            Some(socket) => format!("unix://{}", socket.display()),
            None => format!("{}://{address}", self.scheme),
        }
    }

    /// The socket, if it is one.
    #[must_use]
    pub const fn socket(&self) -> Option<&PathBuf> {
        self.socket.as_ref()
    }

    /// The name and the password it asks for, if it does.
    #[must_use]
    pub const fn user(&self) -> Option<(&'static str, &'static str)> {
        self.user
    }

    /// Options with what it asks for.
    #[must_use]
    pub fn admits(&self, mut options: Options) -> Options {
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.clone());
        }
        match self.user {
            Some((name, password)) => options.with_username(name).with_password(password),
            None => options,
        }
    }
}

impl Mosquitto {
    /// Starts a broker with this kind of listener, and tells how to get in.
    ///
    /// # Panics
    ///
    /// When mosquitto is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn over(carrier: Carrier) -> (Self, Door) {
        let folder = Folder::new("mosquitto");
        let open = Door::OPEN;
        let (before, behind, door) = match carrier {
            Carrier::Tcp => (String::new(), "allow_anonymous true\n".into(), open),
            Carrier::Password => (String::new(), passwords(&folder), Door::asking(USER.0, USER.1)),
            Carrier::Tls => {
                let (lines, tls) = encrypted(&folder, false);
                (String::new(), lines, Door { scheme: "mqtts", tls: Some(tls), ..open })
            }
            Carrier::MutualTls => {
                let (lines, tls) = encrypted(&folder, true);
                (String::new(), lines, Door { scheme: "mqtts", tls: Some(tls), ..open })
            }
            Carrier::Ws => {
                let lines = "protocol websockets\nallow_anonymous true\n".into();
                (unix(&folder), lines, Door { scheme: "ws", ..open })
            }
            Carrier::Wss => {
                let (lines, tls) = encrypted(&folder, false);
                let lines = format!("protocol websockets\n{lines}");
                (unix(&folder), lines, Door { scheme: "wss", tls: Some(tls), ..open })
            }
            Carrier::Unix => {
                let door = Door { socket: Some(folder.file(SOCKET)), ..open };
                (unix(&folder), "allow_anonymous true\n".into(), door)
            }
        };
        (Self::inside(folder, &before, &behind), door)
    }
}

/// A listener on a Unix socket. One that is for WebSocket alone does not let mosquitto 2.0.11 start: there is always
/// another one.
fn unix(folder: &Folder) -> String {
    format!("listener 0 {}\n", folder.file(SOCKET).display())
}

/// A file with one name in it.
fn passwords(folder: &Folder) -> String {
    let file = folder.file("passwords");
    let made = Command::new(program("mosquitto_passwd"))
        .args(["-c", "-b"])
        .arg(&file)
        .args([USER.0, USER.1])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "mosquitto_passwd makes a file of passwords");
    format!("allow_anonymous false\npassword_file {}\n", file.display())
}

/// Certificates for this run alone: the lines of the listener, and what the client is told.
fn encrypted(folder: &Folder, mutual: bool) -> (String, Tls) {
    let authority = Authority::new();
    let server = authority.issue_for(&["localhost", "127.0.0.1"]);
    let write = |name: &str, text: &[u8]| {
        fs::write(folder.file(name), text).expect("the folder was made for this");
        folder.file(name).display().to_string()
    };
    let mut lines = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\n",
        write("authority.pem", &authority.pem()),
        write("server.pem", server.chain.as_bytes()),
        write("server.key", server.key.as_bytes()),
    );
    let mut tls = Tls::builder().roots_pem(&authority.pem()).expect("it was just made");
    if mutual {
        lines.push_str("allow_anonymous false\nrequire_certificate true\nuse_identity_as_username true\n");
        let client = authority.issue("lamp-7");
        let (chain, key) =
            (write("client.pem", client.chain.as_bytes()), write("client.key", client.key.as_bytes()));
        let read = |path| fs::read(path).expect("it was just written");
        tls = tls.identity_pem(&read(chain), &read(key)).expect("they belong together");
    } else {
        lines.push_str("allow_anonymous true\n");
    }
    (lines, tls.build().expect("an authority is trusted"))
}
