//! Enhanced authentication, by the application step by step or by its authenticator.

use mqtt_session::proto::{Auth, Properties, Property, ReasonCode};
use mqtt_session::{self as session, AuthError, Stop};

use super::Driver;
use crate::event::Cause;
use crate::hooks::Authenticator;
use crate::properties::OwnedProperties;
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    /// Sends a step of an enhanced authentication.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn authenticate(
        &mut self,
        reason_code: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AuthError> {
        self.session.authenticate(&Auth { reason_code, properties })
    }

    /// Begins to authenticate again, with a new authenticator.
    ///
    /// # Errors
    /// [`AuthError`]; [`AuthError::NoMethod`] also where the options have none.
    pub fn reauthenticate(&mut self) -> Result<(), AuthError> {
        let mut authenticator = self.options.hooks().authenticator().ok_or(AuthError::NoMethod)?;
        let first = first_step(Some(&mut *authenticator), &[]).map_err(|_| AuthError::NoMethod)?;
        self.authenticate(ReasonCode::ReAuthenticate, first.as_properties())?;
        self.authenticating = Some(authenticator);
        Ok(())
    }

    /// Answers the server for the application, where that has an authenticator; whether the event is dealt with.
    pub(super) fn authenticated(&mut self, event: &session::Event<'_>) -> bool {
        let Some(authenticator) = &mut self.authenticating else { return false };
        let result = match event {
            session::Event::Auth(auth) if auth.reason_code == ReasonCode::ContinueAuthentication => {
                let data = auth.properties.authentication_data().unwrap_or_default();
                let step = authenticator.answer(data).and_then(|answer| {
                    let properties = [
                        Property::AuthenticationMethod(authenticator.method()),
                        Property::AuthenticationData(&answer),
                    ];
                    let properties = Properties::List(&properties);
                    let auth = Auth { reason_code: ReasonCode::ContinueAuthentication, properties };
                    self.session.authenticate(&auth).map_err(|error| error.to_string())
                });
                (step, true)
            }
            session::Event::Auth(auth) => (authenticator.finish(auth.properties.authentication_data()), true),
            session::Event::Connected(connected) => {
                (authenticator.finish(connected.connack.properties.authentication_data()), false)
            }
            _ => return false,
        };
        if let Err(detail) = result.0 {
            // Whoever the server is, it is not the one that was meant; or this client has no proof of itself.
            self.cause = Some(Cause::Hook { detail });
            // A plain stop is never refused.
            let _ = self.stop(Stop::now());
        }
        result.1
    }
}

/// These properties and the first step of an authentication.
pub(super) fn first_step(
    authenticator: Option<&mut (dyn Authenticator + '_)>,
    list: &[Property<'_>],
) -> Result<OwnedProperties, String> {
    let written = |list: &[Property<'_>]| OwnedProperties::new(list).map_err(|error| error.to_string());
    let Some(authenticator) = authenticator else { return written(list) };
    let data = authenticator.begin()?;
    let mut list = list.to_vec();
    list.push(Property::AuthenticationMethod(authenticator.method()));
    if let Some(data) = &data {
        list.push(Property::AuthenticationData(data));
    }
    written(&list)
}
