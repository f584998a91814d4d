//! A server that acknowledges what it gets and forgets it, and floods who subscribes to `flood/QOS/COUNT`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use mqtt_proto::{
    Connack, Encode, Packet, PacketId, Peer, Pingresp, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Qos,
    ReasonCode, ReasonCodes, Suback, TopicName, Version, frame_len,
};

/// What the flood carries, and where to.
pub(crate) const PAYLOAD: [u8; 64] = [b'x'; 64];
pub(crate) const TOPIC: &str = "a/topic/of/20/bytes!";

/// Messages to a subscriber that may be under way: below every client's Receive Maximum.
const AHEAD: u32 = 10_000;

/// Starts it on a free port of the loopback interface, and tells where. `window`: how many messages of a publisher may be
/// under way, as CONNACK tells it.
pub(crate) fn start(window: u16) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, window));
        }
    });
    Ok(address)
}

/// One connection, until it ends.
fn serve(mut stream: TcpStream, window: u16) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let acknowledged = Arc::new(AtomicU32::new(0));
    let mut buffer = vec![0; 256 * 1024];
    let (mut held, mut answer) = (0, Vec::new());
    loop {
        let read = stream.read(buffer.get_mut(held..)?).ok().filter(|read| *read > 0)?;
        held += read;
        let (mut at, mut acks) = (0, 0);
        while let Ok(Some(len)) = frame_len(buffer.get(at..held)?, 1 << 20) {
            let frame = buffer.get(at..at + len)?;
            at += len;
            match frame.first()? >> 4 {
                // Reading a message of QoS 0, or an acknowledgement, would only measure this server.
                3 if frame.first()? & 0x06 == 0 => {}
                4 => acks += 1,
                _ => reply(frame, window, &mut stream, &mut answer, &acknowledged)?,
            }
        }
        acknowledged.fetch_add(acks, Ordering::Release);
        buffer.copy_within(at..held, 0);
        held -= at;
        stream.write_all(&answer).ok()?;
        answer.clear();
    }
}

fn reply(
    frame: &[u8],
    window: u16,
    stream: &mut TcpStream,
    answer: &mut Vec<u8>,
    acknowledged: &Arc<AtomicU32>,
) -> Option<()> {
    match Packet::decode(frame, Version::V5, Peer::Client).ok()? {
        Packet::Connect(_) => {
            let limits = [Property::ReceiveMaximum(window)];
            push(answer, &Connack { properties: Properties::List(&limits), ..Connack::accepted(false) });
        }
        Packet::Publish(publish) if publish.qos == Qos::AtLeastOnce => {
            push(answer, &Puback::new(publish.packet_id?))
        }
        Packet::Publish(publish) => push(answer, &Pubrec::new(publish.packet_id?)),
        Packet::Pubrel(pubrel) => push(answer, &Pubcomp::new(pubrel.packet_id)),
        Packet::Pingreq(_) => push(answer, &Pingresp),
        Packet::Subscribe(subscribe) => {
            let filter = subscribe.filters.iter().next()?;
            let granted = [if filter.options.qos == Qos::AtMostOnce {
                ReasonCode::Success
            } else {
                ReasonCode::GrantedQos1
            }];
            let codes = ReasonCodes::from(&granted);
            push(answer, &Suback { packet_id: subscribe.packet_id, properties: Properties::EMPTY, codes });
            stream.write_all(answer).ok()?;
            answer.clear();
            let count = filter.filter.as_str().rsplit('/').next()?.parse().ok()?;
            let (stream, acknowledged, qos) =
                (stream.try_clone().ok()?, Arc::clone(acknowledged), filter.options.qos);
            thread::spawn(move || flood(stream, qos, count, &acknowledged));
        }
        _ => {}
    }
    Some(())
}

/// As many messages as were asked for, as fast as the subscriber takes them.
fn flood(mut stream: TcpStream, qos: Qos, count: u32, acknowledged: &AtomicU32) -> Option<()> {
    let mut batch = Vec::new();
    let mut publish = Publish { qos, ..Publish::new(TopicName::new(TOPIC).ok()?, &PAYLOAD) };
    for number in 0..count {
        if qos == Qos::AtLeastOnce {
            publish.packet_id = PacketId::new(u16::try_from(number % AHEAD + 1).ok()?);
            let full = |acknowledged: u32| number - acknowledged >= AHEAD;
            if full(acknowledged.load(Ordering::Acquire)) {
                stream.write_all(&batch).ok()?;
                batch.clear();
                while full(acknowledged.load(Ordering::Acquire)) {
                    thread::yield_now();
                }
            }
        }
        push(&mut batch, &publish);
        if batch.len() > 60_000 || number + 1 == count {
            stream.write_all(&batch).ok()?;
            batch.clear();
        }
    }
    Some(())
}

fn push(out: &mut Vec<u8>, packet: &impl Encode) {
    let at = out.len();
    let len = packet.encoded_len(Version::V5).expect("a legal packet");
    out.resize(at + len, 0);
    packet.encode(Version::V5, &mut out[at..]).expect("there is room");
}
