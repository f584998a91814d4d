//! A server's side of WebSocket.

#![allow(unreachable_pub, reason = "as in the peer beside it")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

use crate::peer::{Link, Pipe};
use crate::tls_server;

/// What the client asked for.
#[derive(Debug, Default)]
pub struct Asked {
    pub path: String,
    pub protocol: String,
    pub authorization: Option<String>,
}

/// What a WebSocket runs over.
pub trait Under: Read + Write + Send + 'static {
    fn cut(&self);
}

impl Under for TcpStream {
    fn cut(&self) {
        Pipe::cut(self);
    }
}

impl Under for tls_server::Stream {
    fn cut(&self) {
        Pipe::cut(&self.sock);
    }
}

struct Framed<S> {
    socket: WebSocket<S>,
    rest: Vec<u8>,
    /// Bytes in one frame at most.
    frame: usize,
    /// Lengths of the frames that came.
    lengths: Arc<Mutex<Vec<usize>>>,
}

impl<S: Under> Read for Framed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(data)) => {
                    self.lengths.lock().unwrap().push(data.len());
                    self.rest = data.to_vec();
                }
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Ok(Message::Text(_)) => panic!("a text frame"),
                Ok(_) => {}
                Err(Error::Io(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

impl<S: Under> Write for Framed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(self.frame) {
            self.socket.send(Message::Binary(piece.to_vec().into())).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Under> Pipe for Framed<S> {
    fn cut(&self) {
        self.socket.get_ref().cut();
    }
}

/// The server's side over a stream, sending frames of at most so many bytes.
#[expect(clippy::result_large_err, reason = "the shape of the callback is the library's")]
pub fn link(socket: impl Under, frame: usize) -> (Link, Asked, Arc<Mutex<Vec<usize>>>) {
    let mut asked = Asked::default();
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        asked.path = request.uri().to_string();
        asked.protocol = header("Sec-WebSocket-Protocol").unwrap_or_default();
        asked.authorization = header("Authorization");
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let socket = tungstenite::accept_hdr(socket, answer).unwrap();
    let lengths = Arc::default();
    let framed = Framed { socket, rest: Vec::new(), frame, lengths: Arc::clone(&lengths) };
    (Link::over(framed), asked, lengths)
}

/// CONNACK, a ping, and then a text frame, which MQTT has none of.
#[expect(clippy::result_large_err, reason = "the shape of the callback is the library's")]
pub fn text_after_connack(socket: TcpStream) {
    let answer = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let mut socket = tungstenite::accept_hdr(socket, answer).unwrap();
    socket.read().unwrap();
    socket.send(Message::Binary(vec![0x20, 0x03, 0x00, 0x00, 0x00].into())).unwrap();
    socket.send(Message::Ping(b"are you there".to_vec().into())).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Pong(_)));
    socket.send(Message::Text("hello".into())).unwrap();
    while socket.read().is_ok() {}
}
