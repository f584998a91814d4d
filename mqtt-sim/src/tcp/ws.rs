//! The server's side of WebSocket (feature `ws`): MQTT in binary frames.

use core::fmt;
use std::io;
use std::net::Shutdown;

use mio::net::TcpStream;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::server::{ErrorResponse, Request, Response, ServerHandshake};
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket, accept_hdr_with_config};

/// The largest frame sent.
const FRAME: usize = 256 * 1024;
/// The largest frame taken, at least: clients put several packets into one.
const FRAME_IN: usize = 4 * 1024 * 1024;

/// What the protocol is called, and was called by clients of 3.1.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

type Choose = fn(&Request, Response) -> Result<Response, ErrorResponse>;

/// A WebSocket whose frames carry the bytes of MQTT, whatever packets they hold [MQTT-6.0.0-2].
pub(super) struct WsStream {
    state: State,
    /// What was read of a frame and not taken.
    rest: Vec<u8>,
}

enum State {
    Shaking(Box<MidHandshake<ServerHandshake<TcpStream, Choose>>>),
    Open(Box<WebSocket<TcpStream>>),
    Failed,
}

impl fmt::Debug for WsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Shaking(_) => "WsStream(shaking hands)",
            State::Open(_) => "WsStream(open)",
            State::Failed => "WsStream(failed)",
        })
    }
}

impl WsStream {
    /// Begins the handshake; reading goes on with it. No packet may be longer than `max_packet`.
    pub(super) fn accept(stream: TcpStream, max_packet: usize) -> Self {
        let limit = FRAME_IN.max(max_packet.saturating_mul(2));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_frame_size(Some(limit))
            .max_message_size(Some(limit));
        let mut ws = Self { state: State::Failed, rest: Vec::new() };
        // What failed is told with the first read.
        let _failed = ws.shaken(accept_hdr_with_config(stream, choose as Choose, Some(config)));
        ws
    }

    fn shaken(
        &mut self,
        result: Result<WebSocket<TcpStream>, HandshakeError<ServerHandshake<TcpStream, Choose>>>,
    ) -> io::Result<()> {
        match result {
            Ok(socket) => {
                self.state = State::Open(Box::new(socket));
                Ok(())
            }
            Err(HandshakeError::Interrupted(shaking)) => {
                self.state = State::Shaking(Box::new(shaking));
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(HandshakeError::Failure(error)) => Err(io_error(error)),
        }
    }

    /// The open socket, after going on with the handshake.
    fn open(&mut self) -> io::Result<&mut WebSocket<TcpStream>> {
        if matches!(self.state, State::Shaking(_))
            && let State::Shaking(shaking) = core::mem::replace(&mut self.state, State::Failed)
        {
            self.shaken(shaking.handshake())?;
        }
        match &mut self.state {
            State::Open(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.open()?.read() {
                Ok(Message::Binary(data)) => self.rest = data.into(),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                // [MQTT-6.0.0-1]
                Ok(Message::Text(_)) => return Err(io::ErrorKind::InvalidData.into()),
                Ok(Message::Close(_)) => {
                    // The answer to it is ready; if it does not leave, the end of the connection says the same.
                    let _unanswered = self.flush();
                    return Ok(0);
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(error) => return Err(io_error(error)),
            }
        }
        let count = self.rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.rest.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let frame = bytes.get(..FRAME).unwrap_or(bytes);
        match self.open()?.write(Message::Binary(frame.to_vec().into())) {
            Ok(()) => Ok(frame.len()),
            // It is kept, and leaves with the next flush.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(frame.len()),
            Err(error) => Err(io_error(error)),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.open() {
            Ok(socket) => socket.flush().map_err(io_error),
            // Before the handshake is over nothing is held back.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Open(socket) => {
                // What the peer does not get of this it learns from the end of the connection.
                let _unsaid = socket.close(None).and_then(|()| socket.flush());
                socket.get_ref().shutdown(Shutdown::Write)
            }
            State::Shaking(shaking) => shaking.get_ref().get_ref().shutdown(Shutdown::Write),
            State::Failed => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Whoever does not offer MQTT is in the wrong place [MQTT-6.0.0-3]; who does is told so [MQTT-6.0.0-4].
#[expect(clippy::result_large_err, reason = "the shape of the callback is the library's")]
fn choose(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all("Sec-WebSocket-Protocol").iter();
    let offers = offers.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let offered: Vec<&str> = offers.map(str::trim).collect();
    match PROTOCOLS.into_iter().find(|protocol| offered.contains(protocol)) {
        Some(protocol) => {
            response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
            Ok(response)
        }
        None => {
            let mut refusal = ErrorResponse::new(Some("the sub-protocol here is mqtt\n".to_owned()));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            Err(refusal)
        }
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
