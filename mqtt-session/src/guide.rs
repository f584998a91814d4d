//! What a client does, with one short example for each: every row of what this engine is to do.
//!
//! The examples run as tests. In each of them a `Server` stands for the world: it carries out what the session wants
//! (`docs/guide/server.rs`, a driver without a network), lets time pass, and says what the example has it say. All
//! names come from this crate and from [`proto`](crate::proto); `fn main` around each returns any error.
//!
//! | | |
//! | --- | --- |
//! | [`connecting`] | versions, attempts and reconnects, authentication, the will, keep-alive, the end |
//! | [`sending`] | outcomes, quality of service, the queue, back pressure, large payloads |
//! | [`receiving`] | subscriptions, acknowledgements, large messages, routing, requests and responses |
//! | [`limits`] | the server's and the client's own, flow, topic aliases |
//! | [`records`] | a journal, statistics, memory of a fixed size |

#[doc = include_str!("../docs/guide/connecting.md")]
pub mod connecting {}
#[doc = include_str!("../docs/guide/sending.md")]
pub mod sending {}
#[doc = include_str!("../docs/guide/receiving.md")]
pub mod receiving {}
#[doc = include_str!("../docs/guide/limits.md")]
pub mod limits {}
#[doc = include_str!("../docs/guide/records.md")]
pub mod records {}
