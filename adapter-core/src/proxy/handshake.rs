//! What is said to a proxy before the connection is the server's: bytes in, bytes out.

use core::fmt;
use std::io;

use crate::proxy::connect::Connect;
use crate::proxy::socks::Socks;
use crate::proxy::{Proxy, ProxyKind};
use crate::url::ServerUrl;

/// What a proxy did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy could not be connected, was silent, or its connection broke: is it running, is its address right?
    Unreachable {
        /// The kind of error.
        kind: io::ErrorKind,
    },
    /// It wants credentials, or takes these for wrong.
    Credentials,
    /// It does not connect to the server: it may not, or the server cannot be reached from there.
    Refused {
        /// The reply of SOCKS (1 to 255), or the status of HTTP (100 to 999).
        code: u16,
    },
    /// What it said is no answer of such a proxy: is it one of the other kind, or none?
    Broken,
}

/// A failed handshake, as the inner value of an [`io::Error`].
#[derive(Debug)]
pub(crate) struct ProxyFailed {
    pub(crate) failure: ProxyFailure,
    pub(crate) detail: String,
}

impl ProxyFailed {
    pub(super) fn broken(detail: impl fmt::Display) -> Self {
        Self { failure: ProxyFailure::Broken, detail: detail.to_string() }
    }

    pub(super) fn credentials(detail: impl fmt::Display) -> Self {
        Self { failure: ProxyFailure::Credentials, detail: detail.to_string() }
    }

    pub(super) fn refused(code: u16, detail: impl fmt::Display) -> Self {
        Self { failure: ProxyFailure::Refused { code }, detail: detail.to_string() }
    }

    /// The proxy closed the connection in the middle.
    pub(crate) fn closed() -> Self {
        Self::broken("it closed the connection before it had answered")
    }
}

impl fmt::Display for ProxyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl core::error::Error for ProxyFailed {}

impl From<ProxyFailed> for io::Error {
    fn from(failed: ProxyFailed) -> Self {
        Self::other(failed)
    }
}

/// What an answer, as far as it has come, means.
pub(super) enum Judged {
    /// At most so many bytes more belong to it, and at least one.
    More(usize),
    /// It is whole: this is to be said next, and another answer follows.
    Say(Vec<u8>),
    /// It is whole: the server is connected, and every byte from here on is its.
    Done,
}

enum Language {
    Socks(Socks),
    Connect(Connect),
}

/// One handshake. It never asks for more bytes than the proxy's answer must have, so that those behind it stay in the
/// stream, for whoever speaks with the server.
pub(crate) struct Handshake {
    language: Language,
    /// What is to be said, and how much of it was.
    say: Vec<u8>,
    said: usize,
    answer: Vec<u8>,
    /// Bytes of the answer that may be read now; 0: all is done.
    wants: usize,
}

impl Handshake {
    /// Asks this proxy for this server.
    ///
    /// # Errors
    /// The server's name cannot be said to such a proxy.
    pub(crate) fn new(proxy: &Proxy, server: &ServerUrl) -> io::Result<Self> {
        let (language, say) = match proxy.kind() {
            ProxyKind::Socks5 => {
                let (socks, say) = Socks::new(proxy, server)?;
                (Language::Socks(socks), say)
            }
            ProxyKind::HttpConnect => {
                let (connect, say) = Connect::new(proxy, server);
                (Language::Connect(connect), say)
            }
        };
        // Every answer has two bytes.
        Ok(Self { language, say, said: 0, answer: Vec::new(), wants: 2 })
    }

    /// What is to be sent now; nothing is read before it was.
    pub(crate) fn outgoing(&self) -> &[u8] {
        self.say.get(self.said..).unwrap_or_default()
    }

    /// So many bytes of it were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.said = self.said.saturating_add(count);
    }

    /// At most so many bytes are to be read now; 0: the server is connected.
    pub(crate) const fn wants(&self) -> usize {
        self.wants
    }

    /// These came, no more than were wanted.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Result<(), ProxyFailed> {
        self.answer.extend_from_slice(bytes);
        let judged = match &mut self.language {
            Language::Socks(socks) => socks.judge(&self.answer)?,
            Language::Connect(connect) => connect.judge(&self.answer)?,
        };
        self.wants = match judged {
            Judged::More(count) => count,
            Judged::Say(say) => {
                self.answer.clear();
                (self.say, self.said) = (say, 0);
                2
            }
            Judged::Done => 0,
        };
        Ok(())
    }
}

/// It holds credentials.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("wants", &self.wants).finish_non_exhaustive()
    }
}

/// A proxy for tests of both kinds: says each answer when all was sent, in pieces of at most so many bytes.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What was sent in each step.
    type Said = Vec<Vec<u8>>;

    /// How it ended: so many bytes behind the last answer stay where they are.
    type End = Result<usize, (ProxyFailure, String)>;

    fn run(proxy: &str, server: &str, answers: &[&[u8]], piece: usize) -> (Said, Result<usize, ProxyFailed>) {
        let proxy = Proxy::parse(proxy).unwrap();
        let mut handshake = Handshake::new(&proxy, &ServerUrl::parse(server).unwrap()).unwrap();
        let mut said = Vec::new();
        for answer in answers {
            let mut sent = Vec::new();
            while !handshake.outgoing().is_empty() {
                let count = handshake.outgoing().len().min(piece);
                sent.extend_from_slice(&handshake.outgoing()[..count]);
                handshake.sent(count);
            }
            said.push(sent);
            let mut rest = *answer;
            while handshake.outgoing().is_empty() && !rest.is_empty() {
                let count = handshake.wants().min(piece).min(rest.len());
                if count == 0 {
                    return (said, Ok(rest.len()));
                }
                let (now, later) = rest.split_at(count);
                if let Err(failed) = handshake.received(now) {
                    return (said, Err(failed));
                }
                rest = later;
            }
            assert!(rest.is_empty(), "an answer before it was asked for");
        }
        let end = if handshake.wants() == 0 { Ok(0) } else { Err(ProxyFailed::closed()) };
        (said, end)
    }

    /// The same for every size of pieces.
    pub(crate) fn every_way(proxy: &str, server: &str, answers: &[&[u8]]) -> (Said, End) {
        let in_pieces = |piece| {
            let (said, end) = run(proxy, server, answers, piece);
            (said, end.map_err(|failed| (failed.failure, failed.detail)))
        };
        let whole = in_pieces(usize::MAX);
        for piece in 1..20 {
            assert_eq!(in_pieces(piece), whole, "pieces of {piece}");
        }
        whole
    }
}
