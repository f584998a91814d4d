//! Enhanced authentication (5.0, section 4.12): AUTH packets around what the owner of the broker decides.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mqtt_proto::{Auth, Connect, Packet, Peer, Properties, Property, ReasonCode, Version};

use super::connection::Stage;
use super::{Broker, ConnId};

/// Decides who may come in by enhanced authentication; see [`Broker::set_authenticator`].
///
/// It is asked once for each packet of a client: [`begin`](Self::begin) for CONNECT and for a re-authentication,
/// [`step`](Self::step) for every answer to a challenge. It must give the same verdicts for the same questions if runs
/// are to be the same.
pub trait Authenticator: fmt::Debug + Send {
    /// The Authentication Method it speaks. A CONNECT with another one is refused with 0x8C.
    fn method(&self) -> &str;

    /// A client begins, with this Authentication Data.
    fn begin(&mut self, conn: ConnId, data: Option<&[u8]>) -> Verdict;

    /// A client answers a challenge.
    fn step(&mut self, conn: ConnId, data: Option<&[u8]>) -> Verdict;
}

/// What becomes of a client that authenticates.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked for more, with this Authentication Data.
    Challenge(Vec<u8>),
    /// It may come in, or stay; the last packet carries this Authentication Data.
    Accept(Option<Vec<u8>>),
    /// It is refused, by CONNACK or DISCONNECT with this code.
    Refuse(ReasonCode),
}

/// Without the data.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(data) => write!(f, "Challenge({} bytes)", data.len()),
            Self::Accept(data) => write!(f, "Accept({} bytes)", data.as_ref().map_or(0, Vec::len)),
            Self::Refuse(code) => write!(f, "Refuse({code})"),
        }
    }
}

pub(super) type Shared = Arc<Mutex<dyn Authenticator>>;

/// An enhanced authentication of one connection.
#[derive(Clone, Debug, Hash)]
pub(super) struct Exchange {
    method: Arc<str>,
    /// A challenge was sent and not answered.
    challenged: bool,
    /// CONNECT, while it is not answered.
    connect: Option<Vec<u8>>,
    /// What CONNACK carries.
    data: Option<Vec<u8>>,
}

impl Exchange {
    /// What CONNACK says of it. [MQTT-4.12.0-5]
    pub(super) fn announce<'a>(&'a self, list: &mut Vec<Property<'a>>) {
        list.push(Property::AuthenticationMethod(&self.method));
        if let Some(data) = &self.data {
            list.push(Property::AuthenticationData(data));
        }
    }
}

impl Broker {
    /// Lets clients in by enhanced authentication, as `authenticator` decides; a CONNECT without a method is served as
    /// before. Clones of a broker share it.
    pub fn set_authenticator(&mut self, authenticator: impl Authenticator + 'static) {
        self.authenticator = Some(Arc::new(Mutex::new(authenticator)));
    }

    fn ask(&self, question: impl FnOnce(&mut dyn Authenticator) -> Verdict) -> Verdict {
        match &self.authenticator {
            Some(shared) => question(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Verdict::Refuse(ReasonCode::BadAuthenticationMethod),
        }
    }

    /// Whether the authenticator speaks this method.
    pub(super) fn speaks(&self, method: &str) -> bool {
        self.authenticator
            .as_ref()
            .is_some_and(|shared| shared.lock().unwrap_or_else(PoisonError::into_inner).method() == method)
    }

    /// Whether the answer to this CONNECT has to wait for an authentication.
    pub(super) fn begins_authentication(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        frame: &[u8],
    ) -> bool {
        let Some(method) = connect.properties.authentication_method().filter(|method| self.speaks(method))
        else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(&conn) else { return true };
        connection.version = connect.version;
        connection.stage = Stage::Authenticating;
        connection.auth = Some(Exchange {
            method: method.into(),
            challenged: false,
            connect: Some(frame.to_vec()),
            data: None,
        });
        let verdict = self.ask(|owner| owner.begin(conn, connect.properties.authentication_data()));
        self.decide(conn, verdict);
        true
    }

    pub(super) fn on_auth(&mut self, conn: ConnId, auth: &Auth<'_>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let up = connection.stage == Stage::Up;
        let method = auth.properties.authentication_method();
        // [MQTT-4.12.0-5] [MQTT-4.12.0-7]
        let Some(exchange) = connection.auth.as_mut().filter(|known| method == Some(&*known.method)) else {
            return self.breach(conn, ReasonCode::ProtocolError);
        };
        let data = auth.properties.authentication_data();
        let verdict = match (auth.reason_code, exchange.challenged) {
            (ReasonCode::ContinueAuthentication, true) => {
                exchange.challenged = false;
                self.ask(|owner| owner.step(conn, data))
            }
            // [MQTT-4.12.1-1]
            (ReasonCode::ReAuthenticate, false) if up => self.ask(|owner| owner.begin(conn, data)),
            _ => return self.breach(conn, ReasonCode::ProtocolError),
        };
        self.decide(conn, verdict);
    }

    fn decide(&mut self, conn: ConnId, verdict: Verdict) {
        let Some(exchange) = self.connections.get_mut(&conn).and_then(|connection| connection.auth.as_mut())
        else {
            return;
        };
        let method = Arc::clone(&exchange.method);
        let connecting = exchange.connect.is_some();
        match verdict {
            Verdict::Challenge(data) => {
                exchange.challenged = true;
                self.send_auth(conn, ReasonCode::ContinueAuthentication, &method, Some(&data));
            }
            Verdict::Accept(data) if connecting => {
                let frame = exchange.connect.take().unwrap_or_default();
                exchange.data = data;
                if let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V5, Peer::Client) {
                    self.on_connect(conn, &connect);
                }
            }
            Verdict::Accept(data) => self.send_auth(conn, ReasonCode::Success, &method, data.as_deref()),
            // [MQTT-4.12.0-4]
            Verdict::Refuse(code) if connecting => self.refuse(conn, Version::V5, code, Properties::EMPTY),
            // [MQTT-4.12.1-2]
            Verdict::Refuse(code) => self.disconnect_connection(conn, code),
        }
    }

    fn send_auth(&mut self, conn: ConnId, reason_code: ReasonCode, method: &str, data: Option<&[u8]>) {
        let mut list = vec![Property::AuthenticationMethod(method)];
        list.extend(data.map(Property::AuthenticationData));
        self.send(conn, &Auth { reason_code, properties: Properties::List(&list) });
    }
}
