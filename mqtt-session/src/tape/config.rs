//! What a session is made of, as a track begins with it.

use std::vec::Vec;

use super::kept::{Damaged, Kept, Reader, fields, numbered};
use crate::config::{
    AckMode, Backoff, Config, Durability, OverQos, Oversize, ServerOrder, SessionLost, Suspect, WhenFull,
    WhenNotStored,
};
use crate::storage::Capacity;

fields!(Config {
    seed,
    max_operations,
    max_in_flight,
    max_in_flight_qos2_v3,
    queue_bytes,
    when_full,
    over_qos,
    wire_bytes,
    receive_maximum,
    max_packet_in,
    oversize,
    max_topic_aliases,
    topic_alias_maximum,
    topic_alias_bytes,
    ack_mode,
    qos0_receipts,
    servers,
    resubscribe,
    redirects,
    server_order,
    version_ladder,
    on_session_lost,
    dial_timeout,
    connack_timeout,
    ping_timeout,
    partial_timeout,
    source_timeout,
    ack_timeout,
    request_timeout,
    suspect,
    backoff,
    durability,
    when_not_stored,
});

fields!(Backoff { base, cap, healthy, attempts, retry_first });
fields!(Suspect { after, end });
fields!(Capacity { slots, inbound, arena, wire, aliases_out, aliases_in });

numbered!(WhenFull { Reject = 0, DropOldest = 1, DropNewest = 2 });
numbered!(OverQos { Refuse = 0, Lower = 1 });
numbered!(AckMode { Automatic = 0, Manual = 1 });
numbered!(ServerOrder { RoundRobin = 0, Priority = 1, Random = 2 });
numbered!(SessionLost { Republish = 0, Fail = 1, Drop = 2 });
numbered!(Durability { Off = 0, Async = 1, BeforeSend = 2 });
numbered!(WhenNotStored { End = 0, Send = 1 });

impl Kept<'_> for Oversize {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Refuse => out.push(0),
            Self::Skip => out.push(1),
            Self::Chunks { largest } => {
                out.push(2);
                largest.put(out);
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        match from.take::<u8>()? {
            0 => Ok(Self::Refuse),
            1 => Ok(Self::Skip),
            2 => Ok(Self::Chunks { largest: from.take()? }),
            _ => Err(Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn every_choice_is_read_back() {
        let mut config = Config::new(u64::MAX);
        config.oversize = Oversize::Chunks { largest: 1 << 28 };
        config.ack_timeout = Some(Duration::MAX);
        config.backoff.attempts = Some(3);
        config.durability = Durability::BeforeSend;
        config.ack_mode = AckMode::Manual;
        let mut out = Vec::new();
        config.put(&mut out);
        let mut reader = Reader(&out);
        assert_eq!(reader.take::<Config>(), Ok(config));
        assert!(reader.is_empty());
        for len in 0..out.len() {
            assert_eq!(Reader(&out[..len]).take::<Config>(), Err(Damaged));
        }
    }
}
