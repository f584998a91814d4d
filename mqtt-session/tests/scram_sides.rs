//! The two sides of SCRAM-SHA-256 (RFC 7677). Both prove that they know the password, and nobody sends it.
//! The tests of the adapters play them too.

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechanisms::scram::tools::{derive_keys, hash_password};
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, SASLServer, Session, SessionError, Validation};
use rsasl::property::AuthId;
use rsasl::validate::{NoValidation, Validate, ValidationError};
use sha2::{Digest, Sha256};

pub(crate) const METHOD: &str = "SCRAM-SHA-256";

fn mechanism() -> &'static Mechname {
    Mechname::parse(METHOD.as_bytes()).unwrap()
}

/// The client's side: what an application keeps beside its session. `Err`: the server's proof is wrong.
pub(crate) struct Client(Session<NoValidation>);

impl Client {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).unwrap();
        Self(SASLClient::new(config).start_suggested([mechanism()].as_slice()).unwrap())
    }

    pub(crate) fn step(&mut self, challenge: Option<&[u8]>) -> Result<Vec<u8>, SessionError> {
        let mut answer = Vec::new();
        self.0.step(challenge, &mut answer).map(|_| answer)
    }
}

/// What a server keeps of a password.
struct Stored {
    user: &'static str,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

const SALT: &[u8] = b"some salt";
const ITERATIONS: u32 = 4_096;

impl Stored {
    fn new(user: &'static str, password: &str) -> Self {
        let mut salted = Default::default();
        hash_password::<Sha256>(password.as_bytes(), ITERATIONS, SALT, &mut salted);
        let (client_key, server_key) = derive_keys::<Sha256>(salted.as_slice());
        Self { user, stored_key: Sha256::digest(client_key).to_vec(), server_key: server_key.to_vec() }
    }
}

impl SessionCallback for Stored {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if context.get_ref::<AuthId>() == Some(self.user) {
            let password = ScramStoredPassword::new(ITERATIONS, SALT, &self.stored_key, &self.server_key);
            request.satisfy::<ScramStoredPassword<'_>>(&password)?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let known = context.get_ref::<AuthId>() == Some(self.user);
        validate.with::<Known, _>(|| Ok(known))?;
        Ok(())
    }
}

/// Whether the client proved who it is.
pub(crate) struct Known;

impl Validation for Known {
    type Value = bool;
}

/// The server's side.
pub(crate) struct Server(Session<Known>);

impl Server {
    pub(crate) fn new(user: &'static str, password: &str) -> Self {
        let config =
            SASLConfig::builder().with_defaults().with_callback(Stored::new(user, password)).unwrap();
        Self(SASLServer::<Known>::new(config).start_suggested(mechanism()).unwrap())
    }

    /// Its answer, and whether it is content once the exchange is over.
    pub(crate) fn step(&mut self, data: &[u8]) -> (Vec<u8>, Option<bool>) {
        let mut answer = Vec::new();
        let state = self.0.step(Some(data), &mut answer).unwrap();
        let verdict = (!state.is_running()).then(|| self.0.validation().unwrap_or(false));
        (answer, verdict)
    }
}
