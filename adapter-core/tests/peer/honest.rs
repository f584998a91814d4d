//! A server that keeps its session, does what it should, and cuts the connection now and then.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use core::hash::BuildHasher;
use std::collections::{HashMap, HashSet};
use std::hash::RandomState;

use mqtt_proto::Qos;

use crate::peer::{Got, Link, Server};

/// What it has received, and how often.
#[derive(Debug, Default)]
pub struct Ledger {
    pub at_least_once: HashMap<Vec<u8>, u32>,
    pub exactly_once: HashMap<Vec<u8>, u32>,
    pub cuts: u32,
}

/// Serves one client until it disconnects. The first `cuts` connections end after a number of packets drawn from `1..=packets`.
pub fn serve(server: &Server, cuts: u32, packets: u64) -> Ledger {
    let mut ledger = Ledger::default();
    let mut held: HashSet<u16> = HashSet::new();
    let dice = RandomState::new();
    for round in 0.. {
        let mut link = server.accept();
        if link.next() == Got::End {
            continue;
        }
        link.send(&mqtt_proto::Connack::accepted(round > 0));
        let mut left = if round < cuts { dice.hash_one(round) % packets + 1 } else { u64::MAX };
        if converse(&mut link, &mut ledger, &mut held, &mut left) {
            return ledger;
        }
        ledger.cuts += 1;
        link.cut();
    }
    ledger
}

/// Whether the client has disconnected in order.
fn converse(link: &mut Link, ledger: &mut Ledger, held: &mut HashSet<u16>, left: &mut u64) -> bool {
    while *left > 0 {
        *left -= 1;
        match link.next_but_pings() {
            Got::Publish { qos: Qos::AtMostOnce, .. } => {}
            Got::Publish { qos: Qos::AtLeastOnce, payload, id, .. } => {
                *ledger.at_least_once.entry(payload).or_default() += 1;
                if *left > 0 {
                    link.try_puback(id);
                }
            }
            Got::Publish { qos: Qos::ExactlyOnce, payload, id, .. } => {
                if held.insert(id) {
                    *ledger.exactly_once.entry(payload).or_default() += 1;
                }
                if *left > 0 {
                    link.try_pubrec(id);
                }
            }
            Got::Pubrel(id) => {
                held.remove(&id);
                if *left > 0 {
                    link.try_pubcomp(id);
                }
            }
            Got::Disconnect(_) => return true,
            Got::End => return false,
            got => panic!("{got:?}"),
        }
    }
    false
}
