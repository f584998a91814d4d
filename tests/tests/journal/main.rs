//! Durable sessions: what a client with a journal keeps over crashes, and what it says when it cannot.

mod disk;
mod kill;
mod stores;
