//! Properties that outlive the packet or the call they came with.

use core::fmt;

use mqtt_session::proto::{EncodeError, EncodedProperties, Properties, Property};

/// Properties with storage of their own, in the order they were given.
///
/// ```
/// use mqtt_adapter_core::{OwnedProperties, Property};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let properties = OwnedProperties::new(&[Property::UserProperty("unit", "°C")])?;
/// assert_eq!(properties.as_properties().user_properties().next(), Some(("unit", "°C")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OwnedProperties {
    bytes: Vec<u8>,
}

impl OwnedProperties {
    /// Copies a list. Whether a packet may carry these is checked where the packet is made.
    ///
    /// # Errors
    /// A value that cannot be written, such as a string over 65,535 bytes.
    pub fn new(list: &[Property<'_>]) -> Result<Self, EncodeError> {
        Self::copy(Properties::List(list))
    }

    /// Copies properties of any form.
    ///
    /// # Errors
    /// A value that cannot be written, such as a string over 65,535 bytes.
    pub fn copy(properties: Properties<'_>) -> Result<Self, EncodeError> {
        let mut bytes = vec![0; properties.body_len()];
        let written = properties.write_body(&mut bytes)?;
        bytes.truncate(written);
        Ok(Self { bytes })
    }

    /// The properties, borrowed.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        borrow(&self.bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for OwnedProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_properties().iter()).finish()
    }
}

/// Properties over bytes that `write_body` made.
pub(crate) fn borrow(bytes: &[u8]) -> Properties<'_> {
    if bytes.is_empty() {
        Properties::EMPTY
    } else {
        Properties::Encoded(EncodedProperties::from_stored(bytes))
    }
}
