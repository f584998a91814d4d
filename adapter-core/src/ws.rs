//! WebSocket over a stream: MQTT in binary frames.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use tungstenite::client::client_with_config;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::{ClientHandshake, generate_key};
use tungstenite::http::Request;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use mqtt_session::Oversize;

use crate::options::Options;
use crate::stream::Stream;
use crate::transport::{LinkFacts, Transport};
use crate::url::{Scheme, ServerUrl, authority};

/// The largest frame sent: a batch is one frame, unless it holds a payload that is longer than this.
const FRAME: usize = 256 * 1024;

/// The largest frame taken, at least: brokers put several packets into one.
const FRAME_IN: usize = 4 * 1024 * 1024;

/// A WebSocket whose frames carry the bytes of MQTT, whatever packets they hold.
pub(crate) struct WsStream<S: Transport> {
    under: Arc<Stream<S>>,
    /// The largest frame taken.
    limit: usize,
    state: Mutex<State<S>>,
}

struct State<S: Transport> {
    socket: Socket<S>,
    /// What is left of a frame.
    rest: Bytes,
    /// A frame was taken that the stream beneath has not.
    pending: bool,
}

enum Socket<S: Transport> {
    /// The request, until the stream beneath is ready for it.
    Asking(Box<Request<()>>),
    Shaking(Box<MidHandshake<ClientHandshake<Under<S>>>>),
    Open(Box<WebSocket<Under<S>>>),
    Failed,
}

/// The stream beneath, as the standard library's traits.
struct Under<S: Transport>(Arc<Stream<S>>);

impl<S: Transport> Read for Under<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Transport> Write for Under<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Transport> WsStream<S> {
    pub(crate) fn new(under: Stream<S>, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        let scheme = if server.scheme() == Scheme::Wss { "wss" } else { "ws" };
        let host = authority(server.host(), server.port());
        let mut request = Request::builder()
            .uri(format!("{scheme}://{host}{}", server.path()))
            .header("Host", host)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            // [MQTT-6.0.0-3]
            .header("Sec-WebSocket-Protocol", "mqtt");
        for (name, value) in options.ws_headers() {
            request = request.header(name, value);
        }
        let request = request.body(()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let socket = Socket::Asking(Box::new(request));
        let state = State { socket, rest: Bytes::new(), pending: false };
        let engine = options.engine();
        let largest = match engine.oversize {
            Oversize::Chunks { largest } => largest,
            _ => 0,
        };
        // A frame is taken whole, also where the message in it is then read in chunks.
        let limit = FRAME_IN
            .max((engine.max_packet_in as usize).saturating_mul(2))
            .max((largest as usize).saturating_add(FRAME_IN));
        Ok(Self { under: Arc::new(under), limit, state: Mutex::new(state) })
    }

    pub(crate) fn under(&self) -> &Stream<S> {
        &self.under
    }

    /// Whether the handshake failed in the stream beneath.
    pub(crate) fn is_under_failed(&self) -> bool {
        matches!(self.lock().socket, Socket::Asking(_))
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn handshake(&self) -> io::Result<bool> {
        let mut state = self.lock();
        let result = match core::mem::replace(&mut state.socket, Socket::Failed) {
            Socket::Asking(request) => {
                let under = self.under.handshake();
                if !matches!(under, Ok(true)) {
                    state.socket = Socket::Asking(request);
                    return under;
                }
                let config = WebSocketConfig::default()
                    .read_buffer_size(16 * 1024)
                    .write_buffer_size(0)
                    .max_frame_size(Some(self.limit))
                    .max_message_size(Some(self.limit));
                client_with_config(*request, Under(Arc::clone(&self.under)), Some(config))
            }
            Socket::Shaking(shaking) => shaking.handshake(),
            open @ Socket::Open(_) => {
                state.socket = open;
                return Ok(true);
            }
            Socket::Failed => return Err(io::ErrorKind::NotConnected.into()),
        };
        match result {
            Ok((socket, _response)) => {
                state.socket = Socket::Open(Box::new(socket));
                Ok(true)
            }
            Err(HandshakeError::Interrupted(shaking)) => {
                state.socket = Socket::Shaking(Box::new(shaking));
                Ok(false)
            }
            Err(HandshakeError::Failure(error)) => Err(io_error(error)),
        }
    }

    pub(crate) fn finish(&self) {
        if let Socket::Open(socket) = &mut self.lock().socket {
            // The socket is closed in any case.
            let _ = socket.close(None);
            let _ = socket.flush();
        }
        self.under.say_end();
    }
}

impl<S: Transport> State<S> {
    fn open(&mut self) -> io::Result<&mut WebSocket<Under<S>>> {
        match &mut self.socket {
            Socket::Open(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<S: Transport> Transport for WsStream<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        while state.rest.is_empty() {
            match state.open()?.read() {
                Ok(Message::Binary(data)) => state.rest = data,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                // [MQTT-6.0.0-1]
                Ok(Message::Text(_)) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the server sent a text frame"));
                }
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(error) => return Err(io_error(error)),
            }
        }
        let count = state.rest.len().min(buffer.len());
        state.rest.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.pending {
            flushed(state.open()?)?;
            state.pending = false;
        }
        // One batch is one frame: it is copied to be masked in any case.
        let mut frame = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum::<usize>().min(FRAME));
        for slice in slices {
            let room = FRAME - frame.len();
            frame.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        let count = frame.len();
        if count == 0 {
            return Ok(0);
        }
        match state.open()?.write(Message::Binary(frame.into())) {
            Ok(()) => {}
            // It is kept, and leaves with the next write or flush.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => state.pending = true,
            Err(error) => return Err(io_error(error)),
        }
        Ok(count)
    }

    fn facts(&self) -> LinkFacts {
        self.under.facts()
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.lock();
        flushed(state.open()?)?;
        state.pending = false;
        Ok(())
    }
}

fn flushed<S: Transport>(socket: &mut WebSocket<Under<S>>) -> io::Result<()> {
    socket.flush().map_err(io_error)
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use tungstenite::handshake::server::{ErrorResponse, Request, Response};

    use crate::dial::Peer;

    #[test]
    #[expect(clippy::result_large_err, reason = "the shape of the callback is the library's")]
    fn a_batch_is_a_frame_and_none_is_empty() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let agree = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                response.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
                Ok(response)
            };
            let mut socket = tungstenite::accept_hdr(listener.accept().unwrap().0, agree).unwrap();
            let mut lengths = Vec::new();
            while let Ok(Message::Binary(frame)) = socket.read() {
                lengths.push(frame.len());
            }
            lengths
        });
        let options = Options::new(&format!("ws://{address}/mqtt")).unwrap();
        // Where waiting does no harm, the socket may block.
        let socket = TcpStream::connect(address).unwrap();
        let stream = Stream::new(socket, Peer::address(address), &options.servers()[0], &options).unwrap();
        assert!(stream.handshake().unwrap());
        let batch = |parts: &[usize]| {
            let bytes: Vec<Vec<u8>> = parts.iter().map(|len| vec![7; *len]).collect();
            let slices: Vec<_> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
            stream.write_vectored(&slices).unwrap()
        };
        assert_eq!(batch(&[1]), 1);
        assert_eq!(batch(&[]), 0);
        assert_eq!(batch(&[0, 0]), 0);
        assert_eq!(batch(&[10, 0, 100_000, 5]), 100_015);
        assert_eq!(batch(&[FRAME - 1, 7]), FRAME, "the rest is for the next");
        stream.finish();
        assert_eq!(server.join().unwrap(), [1, 100_015, FRAME]);
    }
}
