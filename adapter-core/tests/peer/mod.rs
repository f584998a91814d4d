//! A server with a script: it does what a test says, packet by packet, over a socket of the standard library.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use mqtt_proto::{
    Connack, Encode, Packet, PacketId, Peer, Pingresp, Properties, Property, Puback, Pubcomp, Publish,
    Pubrec, Pubrel, Qos, ReasonCode, ReasonCodes, Suback, TopicName, Unsuback, Version, frame_len,
};

/// Nothing in a test takes as long: a hang becomes a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    listener: TcpListener,
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Connect {
        client_id: String,
        clean_start: bool,
        username: Option<String>,
        password: Option<Vec<u8>>,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        dup: bool,
        id: u16,
    },
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Subscribe {
        id: u16,
        filters: Vec<String>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect(ReasonCode),
    Auth(ReasonCode, Vec<u8>),
    /// End of the stream, or a reset.
    End,
}

/// What a link runs over.
pub trait Pipe: Read + Write + Send {
    fn cut(&self);
}

impl Pipe for TcpStream {
    fn cut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

#[cfg(unix)]
impl Pipe for std::os::unix::net::UnixStream {
    fn cut(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

pub struct Link {
    stream: Box<dyn Pipe>,
    version: Version,
    buffer: Vec<u8>,
    /// User properties of the CONNECT that came last.
    user_properties: Vec<(String, String)>,
}

impl Server {
    pub fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    pub fn at(address: &str) -> Self {
        Self { listener: TcpListener::bind(address).unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }

    /// The next connection; nothing is read from it yet.
    pub fn accept(&self) -> Link {
        Link::over(self.accept_socket())
    }

    pub fn accept_socket(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The next connection, with CONNECT read and accepted.
    pub fn welcome(&self, session_present: bool) -> Link {
        let mut link = self.accept();
        link.welcome(session_present);
        link
    }
}

impl Link {
    pub fn over(stream: impl Pipe + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            version: Version::V5,
            buffer: Vec::new(),
            user_properties: Vec::new(),
        }
    }

    /// Reads CONNECT and accepts it.
    pub fn welcome(&mut self, session_present: bool) {
        self.connect();
        self.send(&Connack::accepted(session_present));
    }

    pub fn connect(&mut self) -> Got {
        let got = self.next();
        assert!(matches!(got, Got::Connect { .. }), "{got:?} instead of CONNECT");
        got
    }

    /// User properties of the CONNECT that came last.
    pub fn connect_properties(&self) -> Vec<(String, String)> {
        self.user_properties.clone()
    }

    /// The next packet.
    pub fn next(&mut self) -> Got {
        loop {
            if let Some(len) = frame_len(&self.buffer, 1 << 28).unwrap() {
                let frame: Vec<u8> = self.buffer.drain(..len).collect();
                let packet = Packet::decode(&frame, self.version, Peer::Client).unwrap();
                if let Packet::Connect(connect) = &packet {
                    self.version = connect.version;
                    self.user_properties = connect
                        .properties
                        .iter()
                        .filter_map(|property| match property {
                            Property::UserProperty(name, value) => Some((name.to_owned(), value.to_owned())),
                            _ => None,
                        })
                        .collect();
                }
                return own(&packet);
            }
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Got::End,
                Ok(read) => self.buffer.extend_from_slice(&bytes[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Got::End;
                }
                Err(error) => panic!("the client sent nothing: {error}"),
            }
        }
    }

    /// Reads at least so many bytes, whatever they are, and forgets them.
    pub fn read_some(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let read = self.stream.read(&mut [0; 4_096]).unwrap();
            assert!(read > 0, "the client closed");
            left = left.saturating_sub(read);
        }
    }

    /// The next packet that is not a ping; pings are answered.
    pub fn next_but_pings(&mut self) -> Got {
        loop {
            match self.next() {
                Got::Ping => self.send(&Pingresp),
                got => return got,
            }
        }
    }

    pub fn send(&mut self, packet: &impl Encode) {
        let mut bytes = vec![0; packet.encoded_len(self.version).unwrap()];
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos, id: u16) {
        let mut publish = Publish::new(TopicName::new(topic).unwrap(), payload);
        publish.qos = qos;
        publish.packet_id = PacketId::new(id);
        self.send(&publish);
    }

    pub fn puback(&mut self, id: u16) {
        self.send(&Puback::new(PacketId::new(id).unwrap()));
    }

    pub fn pubrec(&mut self, id: u16) {
        self.send(&Pubrec::new(PacketId::new(id).unwrap()));
    }

    /// As `puback`, to a client that may be gone.
    pub fn try_puback(&mut self, id: u16) {
        self.try_send(&Puback::new(PacketId::new(id).unwrap()));
    }

    pub fn try_pubrec(&mut self, id: u16) {
        self.try_send(&Pubrec::new(PacketId::new(id).unwrap()));
    }

    pub fn try_pubcomp(&mut self, id: u16) {
        self.try_send(&Pubcomp::new(PacketId::new(id).unwrap()));
    }

    fn try_send(&mut self, packet: &impl Encode) {
        let mut bytes = vec![0; packet.encoded_len(self.version).unwrap()];
        packet.encode(self.version, &mut bytes).unwrap();
        let _ = self.stream.write_all(&bytes);
    }

    pub fn pubrel(&mut self, id: u16) {
        self.send(&Pubrel::new(PacketId::new(id).unwrap()));
    }

    pub fn pubcomp(&mut self, id: u16) {
        self.send(&Pubcomp::new(PacketId::new(id).unwrap()));
    }

    pub fn suback(&mut self, id: u16, codes: &[ReasonCode]) {
        let packet_id = PacketId::new(id).unwrap();
        self.send(&Suback { packet_id, properties: Properties::EMPTY, codes: ReasonCodes::from(codes) });
    }

    pub fn unsuback(&mut self, id: u16, codes: &[ReasonCode]) {
        let packet_id = PacketId::new(id).unwrap();
        self.send(&Unsuback { packet_id, properties: Properties::EMPTY, codes: ReasonCodes::from(codes) });
    }

    /// Reads packets and acknowledges publishes until the client ends the connection: everything published, in
    /// order.
    pub fn serve(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            match self.next_but_pings() {
                Got::Publish { id, qos: Qos::AtLeastOnce, .. } => {
                    all.push(Got::Puback(id));
                    self.puback(id);
                }
                Got::Publish { id, qos: Qos::ExactlyOnce, .. } => self.pubrec(id),
                Got::Pubrel(id) => {
                    all.push(Got::Pubcomp(id));
                    self.pubcomp(id);
                }
                Got::End => return all,
                got => all.push(got),
            }
        }
    }

    pub fn cut(self) {
        self.stream.cut();
    }
}

fn own(packet: &Packet<'_>) -> Got {
    match packet {
        Packet::Connect(connect) => Got::Connect {
            client_id: connect.client_id.to_owned(),
            clean_start: connect.clean_start,
            username: connect.username.map(str::to_owned),
            password: connect.password.map(<[u8]>::to_vec),
        },
        Packet::Publish(publish) => Got::Publish {
            topic: publish.topic.map(|topic| topic.as_str().to_owned()).unwrap_or_default(),
            payload: publish.payload.to_vec(),
            qos: publish.qos,
            dup: publish.dup,
            id: publish.packet_id.map(PacketId::get).unwrap_or_default(),
        },
        Packet::Puback(ack) => Got::Puback(ack.packet_id.get()),
        Packet::Pubrec(ack) => Got::Pubrec(ack.packet_id.get()),
        Packet::Pubrel(ack) => Got::Pubrel(ack.packet_id.get()),
        Packet::Pubcomp(ack) => Got::Pubcomp(ack.packet_id.get()),
        Packet::Subscribe(subscribe) => Got::Subscribe {
            id: subscribe.packet_id.get(),
            filters: subscribe.filters.iter().map(|item| item.filter.as_str().to_owned()).collect(),
        },
        Packet::Unsubscribe(unsubscribe) => Got::Unsubscribe {
            id: unsubscribe.packet_id.get(),
            filters: unsubscribe.filters.iter().map(|filter| filter.as_str().to_owned()).collect(),
        },
        Packet::Pingreq(_) => Got::Ping,
        Packet::Disconnect(disconnect) => Got::Disconnect(disconnect.reason_code),
        Packet::Auth(auth) => {
            Got::Auth(auth.reason_code, auth.properties.authentication_data().unwrap_or_default().to_vec())
        }
        other => panic!("a client sent {other:?}"),
    }
}
