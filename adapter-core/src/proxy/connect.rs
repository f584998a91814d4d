//! The method CONNECT of HTTP: RFC 9110, with the credentials of RFC 7617.

use data_encoding::BASE64;
use httparse::{EMPTY_HEADER, Error, Response, Status};

use crate::proxy::Proxy;
use crate::proxy::handshake::{Judged, ProxyFailed};
use crate::url::{ServerUrl, authority};

/// The longest answer read, all its parts together.
const HEAD: usize = 8 * 1024;

/// The most header lines in one answer.
const HEADERS: usize = 100;

#[derive(Default)]
pub(super) struct Connect {
    /// Bytes of interim answers that were passed over.
    passed: usize,
    with_credentials: bool,
}

impl Connect {
    /// And what is said first.
    pub(super) fn new(proxy: &Proxy, server: &ServerUrl) -> (Self, Vec<u8>) {
        let to = authority(server.host(), server.port());
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some((user, password)) = proxy.username().zip(proxy.password()) {
            let both = BASE64.encode(&[user.as_bytes(), b":", password].concat());
            request.push_str(&format!("Proxy-Authorization: Basic {both}\r\n"));
        }
        request.push_str("\r\n");
        (Self { passed: 0, with_credentials: proxy.username().is_some() }, request.into_bytes())
    }

    pub(super) fn judge(&mut self, answer: &[u8]) -> Result<Judged, ProxyFailed> {
        // The empty line that ends it, in either spelling, is read to its last byte and no further.
        let more = if answer.ends_with(b"\n") || answer.ends_with(b"\n\r") { 1 } else { 2 };
        if !answer.ends_with(b"\n\n") && !answer.ends_with(b"\n\r\n") {
            if self.passed + answer.len() + more > HEAD {
                return Err(ProxyFailed::broken(format_args!("its answer is longer than {HEAD} bytes")));
            }
            // What cannot become an answer is not waited for.
            let begins = answer.get(..5).unwrap_or(answer);
            if !b"HTTP/".starts_with(begins) {
                return Err(ProxyFailed::broken("it does not speak HTTP"));
            }
            return Ok(Judged::More(more));
        }
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = Response::new(&mut headers);
        match response.parse(answer) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Ok(Judged::More(more)),
            Err(Error::TooManyHeaders) => {
                return Err(ProxyFailed::broken(format_args!("its answer has more than {HEADERS} headers")));
            }
            Err(error) => return Err(ProxyFailed::broken(format_args!("its answer is no HTTP: {error}"))),
        }
        match response.code.unwrap_or_default() {
            200..300 => Ok(Judged::Done),
            // An interim answer; the real one follows.
            100 | 102..200 => {
                self.passed += answer.len();
                Ok(Judged::Say(Vec::new()))
            }
            // 407 is right, and some say 401.
            code @ (401 | 407) => Err(ProxyFailed::credentials(if self.with_credentials {
                format!("it takes user name or password for wrong: check them (HTTP {code})")
            } else {
                format!("it wants credentials: give it some (HTTP {code})")
            })),
            code => {
                let reason: String = response
                    .reason
                    .unwrap_or_default()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(100)
                    .collect();
                let detail =
                    format_args!("it does not connect to this server: HTTP {code} {reason}").to_string();
                Err(ProxyFailed::refused(code, detail.trim_end()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProxyFailure;
    use super::super::handshake::tests::every_way;
    use super::*;

    const OPEN: &str = "http://p";
    const SERVER: &str = "mqtt://broker.example:1883";
    const OK: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 p\r\n\r\n";

    fn failure(proxy: &str, answer: &[u8]) -> (ProxyFailure, String) {
        every_way(proxy, SERVER, &[answer]).1.unwrap_err()
    }

    #[test]
    fn a_server_is_asked_for_by_its_name() {
        let (said, end) = every_way(OPEN, SERVER, &[OK]);
        assert_eq!(end, Ok(0));
        let expected = "CONNECT broker.example:1883 HTTP/1.1\r\nHost: broker.example:1883\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&said[0]), expected);
        let (said, _) = every_way("http://Aladdin:open%20sesame@p", "mqtt://[::1]:7", &[OK]);
        let expected = "CONNECT [::1]:7 HTTP/1.1\r\nHost: [::1]:7\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&said[0]), expected);
    }

    #[test]
    fn what_follows_the_empty_line_is_the_servers() {
        for head in [
            OK,
            b"HTTP/1.0 200\r\n\r\n",
            b"HTTP/1.1 299 x\nA: b\n\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(every_way(OPEN, SERVER, &[head]).1, Ok(0));
            let more = [head, b" \x03\0\0\0"].concat();
            assert_eq!(every_way(OPEN, SERVER, &[&more]).1, Ok(5));
            for cut in 0..head.len() {
                assert_eq!(failure(OPEN, &head[..cut]).0, ProxyFailure::Broken, "cut at {cut}");
            }
        }
    }

    #[test]
    fn interim_answers_are_passed_over_but_not_for_ever() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(every_way(OPEN, SERVER, &[interim, interim, OK]).1, Ok(0));
        let many: Vec<&[u8]> = vec![interim; 1_000];
        assert_eq!(every_way(OPEN, SERVER, &many).1.unwrap_err().0, ProxyFailure::Broken);
    }

    #[test]
    fn refusals_are_told_apart() {
        let auth = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
        assert_eq!(failure(OPEN, auth).0, ProxyFailure::Credentials);
        let (failed, detail) = failure("http://me:canary@p", auth);
        assert_eq!(failed, ProxyFailure::Credentials);
        assert!(detail.contains("wrong") && !detail.contains("canary"), "{detail}");
        assert_eq!(failure(OPEN, b"HTTP/1.1 401 Unauthorized\r\n\r\n").0, ProxyFailure::Credentials);
        let (failed, detail) = failure(OPEN, b"HTTP/1.1 403 Filtered\r\n\r\n");
        assert_eq!(failed, ProxyFailure::Refused { code: 403 });
        assert!(detail.ends_with("HTTP 403 Filtered"), "{detail}");
        for code in [101, 301, 502] {
            let head = format!("HTTP/1.1 {code} x\r\n\r\n");
            assert_eq!(failure(OPEN, head.as_bytes()).0, ProxyFailure::Refused { code });
        }
    }

    #[test]
    fn an_answer_that_is_none_ends_soon() {
        for head in
            [&b"\x05\x00"[..], b"SSH-2.0-x\r\n", b"HTTP/9\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"\r\n\r\n"]
        {
            assert_eq!(failure(OPEN, head).0, ProxyFailure::Broken, "{head:?}");
        }
        let long = [b"HTTP/1.1 200 OK\r\nA: ", &[b'a'; HEAD][..], b"\r\n\r\n"].concat();
        let (failed, detail) = failure(OPEN, &long);
        assert!(failed == ProxyFailure::Broken && detail.contains("8192"), "{detail}");
        let many = [b"HTTP/1.1 200 OK\r\n", "A: b\r\n".repeat(HEADERS + 1).as_bytes(), b"\r\n"].concat();
        assert!(failure(OPEN, &many).1.contains("100 headers"));
    }
}
