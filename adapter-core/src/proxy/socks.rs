//! SOCKS version 5: RFC 1928, and user name and password of RFC 1929.

use core::net::IpAddr;
use std::io;

use crate::proxy::Proxy;
use crate::proxy::handshake::{Judged, ProxyFailed};
use crate::url::ServerUrl;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xFF;

/// Which answer is awaited.
enum Awaited {
    /// How to prove who one is.
    Method,
    /// Whether that was good enough.
    Verdict,
    /// Whether the server is connected.
    Reply,
}

pub(super) struct Socks {
    awaited: Awaited,
    /// The message with user name and password.
    credentials: Option<Vec<u8>>,
    request: Vec<u8>,
}

impl Socks {
    /// And what is said first.
    pub(super) fn new(proxy: &Proxy, server: &ServerUrl) -> io::Result<(Self, Vec<u8>)> {
        let credentials = proxy.username().zip(proxy.password()).map(|(user, password)| {
            let mut message = vec![1];
            for part in [user.as_bytes(), password] {
                // `Proxy` has no longer ones.
                message.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                message.extend_from_slice(part);
            }
            message
        });
        let greeting = match credentials {
            Some(_) => vec![VERSION, 2, NO_CREDENTIALS, PASSWORD],
            None => vec![VERSION, 1, NO_CREDENTIALS],
        };
        let mut request = vec![VERSION, 1, 0];
        match server.host().parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(1);
                request.extend_from_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(4);
                request.extend_from_slice(&address.octets());
            }
            Err(_) => {
                let name = server.host().as_bytes();
                let len = u8::try_from(name.len()).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "SOCKS has no host names of more than 255 bytes",
                    )
                })?;
                request.extend_from_slice(&[3, len]);
                request.extend_from_slice(name);
            }
        }
        request.extend_from_slice(&server.port().to_be_bytes());
        Ok((Self { awaited: Awaited::Method, credentials, request }, greeting))
    }

    pub(super) fn judge(&mut self, answer: &[u8]) -> Result<Judged, ProxyFailed> {
        let expected = if matches!(self.awaited, Awaited::Verdict) { 1 } else { VERSION };
        match answer.first() {
            Some(version) if *version != expected => {
                return Err(ProxyFailed::broken("it does not speak SOCKS version 5"));
            }
            _ => {}
        }
        let Some(second) = answer.get(1) else { return Ok(Judged::More(1)) };
        match self.awaited {
            Awaited::Method => match (*second, self.credentials.take()) {
                (NO_CREDENTIALS, _) => Ok(self.ask()),
                (PASSWORD, Some(credentials)) => {
                    self.awaited = Awaited::Verdict;
                    Ok(Judged::Say(credentials))
                }
                (NONE_ACCEPTABLE, None) => {
                    Err(ProxyFailed::credentials("it wants credentials: give it some"))
                }
                (NONE_ACCEPTABLE, Some(_)) => {
                    Err(ProxyFailed::credentials("it takes neither these credentials nor none"))
                }
                _ => Err(ProxyFailed::broken("it chose a way to log in that was not offered")),
            },
            Awaited::Verdict => match second {
                0 => Ok(self.ask()),
                _ => Err(ProxyFailed::credentials("it takes user name or password for wrong: check them")),
            },
            Awaited::Reply => match second {
                0 => bound_address(answer),
                code => Err(ProxyFailed::refused(
                    u16::from(*code),
                    format_args!("{} (SOCKS {code})", meaning(*code)),
                )),
            },
        }
    }

    fn ask(&mut self) -> Judged {
        self.awaited = Awaited::Reply;
        Judged::Say(core::mem::take(&mut self.request))
    }
}

/// The address the proxy connects from ends its reply, and tells nothing.
fn bound_address(answer: &[u8]) -> Result<Judged, ProxyFailed> {
    let len = match (answer.get(3), answer.get(4)) {
        (None, _) => 4,
        (Some(1), _) => 4 + 4 + 2,
        (Some(4), _) => 4 + 16 + 2,
        (Some(3), None) => 5,
        (Some(3), Some(len)) => 5 + usize::from(*len) + 2,
        _ => return Err(ProxyFailed::broken("its reply holds no address")),
    };
    Ok(match len.saturating_sub(answer.len()) {
        0 => Judged::Done,
        more => Judged::More(more),
    })
}

const fn meaning(code: u8) -> &'static str {
    match code {
        1 => "it failed",
        2 => "its rules do not allow this server",
        3 => "the server's network cannot be reached from there",
        4 => "the server cannot be reached from there, or has no address",
        5 => "the server refused the connection",
        6 => "the server did not answer in time",
        7 => "it does not make connections",
        8 => "it does not take such addresses",
        _ => "it refused for a reason of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProxyFailure;
    use super::super::handshake::tests::every_way;

    const OPEN: &str = "socks5://p";
    const LOCKED: &str = "socks5://me:pw@p";
    const SERVER: &str = "mqtt://broker.example:1883";
    const CONNECTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

    fn failure(proxy: &str, answers: &[&[u8]]) -> ProxyFailure {
        every_way(proxy, SERVER, answers).1.unwrap_err().0
    }

    #[test]
    fn the_name_is_left_to_the_proxy() {
        let (said, end) = every_way(OPEN, SERVER, &[&[5, 0], CONNECTED]);
        assert_eq!(end, Ok(0));
        assert_eq!(said, [&[5, 1, 0][..], b"\x05\x01\x00\x03\x0ebroker.example\x07\x5b"]);
    }

    #[test]
    fn addresses_are_sent_as_such() {
        let (said, end) = every_way(OPEN, "mqtt://10.0.0.7:1", &[&[5, 0], CONNECTED]);
        assert_eq!((end, &said[1][..]), (Ok(0), &[5, 1, 0, 1, 10, 0, 0, 7, 0, 1][..]));
        let (said, _) = every_way(OPEN, "mqtt://[::1]:258", &[&[5, 0], CONNECTED]);
        assert_eq!(said[1], [5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn credentials_are_shown_only_where_they_are_asked_for() {
        let (said, end) = every_way(LOCKED, SERVER, &[&[5, 2], &[1, 0], CONNECTED]);
        assert_eq!((end, said.len()), (Ok(0), 3));
        assert_eq!((&said[0][..], &said[1][..]), (&[5, 2, 0, 2][..], &b"\x01\x02me\x02pw"[..]));
        let (said, end) = every_way(LOCKED, SERVER, &[&[5, 0], CONNECTED]);
        assert_eq!((end, said.len()), (Ok(0), 2));
    }

    #[test]
    fn every_kind_of_bound_address_is_passed_over_and_nothing_behind_it() {
        let name = [&[5, 0, 0, 3, 4][..], b"host\x00\x50"].concat();
        let six = [&[5, 0, 0, 4][..], &[7; 18]].concat();
        for reply in [CONNECTED, &name, &six] {
            assert_eq!(every_way(OPEN, SERVER, &[&[5, 0], reply]).1, Ok(0));
            let more = [reply, b"MQTT"].concat();
            assert_eq!(every_way(OPEN, SERVER, &[&[5, 0], &more]).1, Ok(4), "the rest is the server's");
            for cut in 0..reply.len() {
                let end = every_way(OPEN, SERVER, &[&[5, 0], &reply[..cut]]).1;
                assert_eq!(end.unwrap_err().0, ProxyFailure::Broken, "cut at {cut}");
            }
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        assert_eq!(failure(OPEN, &[&[5, 0xFF]]), ProxyFailure::Credentials);
        assert_eq!(failure(LOCKED, &[&[5, 0xFF]]), ProxyFailure::Credentials);
        assert_eq!(failure(LOCKED, &[&[5, 2], &[1, 1]]), ProxyFailure::Credentials);
        for code in 1..=255 {
            // Some close after the code.
            let failed = failure(OPEN, &[&[5, 0], &[5, code]]);
            assert_eq!(failed, ProxyFailure::Refused { code: u16::from(code) });
        }
    }

    #[test]
    fn what_is_no_socks_is_broken() {
        for first in [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[4, 0], &[5, 2], &[5, 1], &[0, 0]] {
            assert_eq!(failure(OPEN, &[first]), ProxyFailure::Broken, "{first:?}");
        }
        assert_eq!(failure(LOCKED, &[&[5, 2], &[5, 0]]), ProxyFailure::Broken);
        assert_eq!(failure(OPEN, &[&[5, 0], &[4, 0]]), ProxyFailure::Broken);
        assert_eq!(failure(OPEN, &[&[5, 0], &[5, 0, 0, 9, 1, 1]]), ProxyFailure::Broken);
    }
}
