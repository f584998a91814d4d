//! Names for things that end later.

/// Names an accepted operation until its `Event::Done`.
///
/// The index is dense: it is below the largest number of operations that were ever open at once, so
/// a table of waiters can be an array. The generation tells two operations with one index apart.
///
/// ```
/// use mqtt_session::Token;
///
/// let token = Token::from(0x0000_0007_0000_0003);
/// assert_eq!(token.index(), 3);
/// assert_eq!(u64::from(token), 0x0000_0007_0000_0003);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(u64);

impl Token {
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | index as u64)
    }

    /// The place in a table of waiters.
    #[must_use]
    pub const fn index(self) -> u32 {
        (self.0 & 0xFFFF_FFFF) as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl From<u64> for Token {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

/// Names an inbound message that waits for `Session::acknowledge`.
///
/// A token of a QoS 1 message is stale after a cut, because the server sends the message again with a
/// token of its own; a token of a QoS 2 message stays valid as long as the server's session does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AckToken {
    index: u16,
    generation: u32,
}

impl AckToken {
    pub(crate) const fn new(index: u16, generation: u32) -> Self {
        Self { index, generation }
    }

    pub(crate) const fn index(self) -> u16 {
        self.index
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }
}
