//! How many messages a second pass through a client on this machine, against a server that only
//! acknowledges and forgets, over loopback.
//!
//! ```text
//! cargo run --release -p mqtt-adapter-std --example rate [messages [part of a line's name]]
//! ```
//!
//! Rates of one machine drift from minute to minute: compare within one run, and count system calls beside it
//! (`strace -f -c`), which do not drift.

use core::error::Error;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::proto::{
    Connack, Encode, Packet, PacketId, Peer, Properties, Puback, Pubcomp, Pubrec, ReasonCodes, Suback,
    TopicName, Version, frame_len,
};
use mqtt_adapter_std::{Client, Connection, Event, Options, Publish, Qos, ReasonCode};

const PAYLOAD: [u8; 64] = [b'x'; 64];

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("mqtt://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });

    let only = std::env::args().nth(2).unwrap_or_default();
    let wanted = |name: &str| name.contains(&only);

    println!("{count} messages of {} bytes", PAYLOAD.len());
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let name = format!("Client publishes, QoS {}", qos as u8);
        if !wanted(&name) {
            continue;
        }
        let client = Client::connect(Options::new(&url)?)?;
        let start = Instant::now();
        for _ in 0..count {
            client.publish(Publish::new("a/topic/of/20/bytes!", &PAYLOAD).qos(qos))?;
        }
        while !client.idle_timeout(Duration::from_secs(60)) {}
        report(&name, count, start);
        client.stop(Duration::from_secs(5));
    }
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let name = format!("Connection publishes, QoS {}", qos as u8);
        if !wanted(&name) {
            continue;
        }
        let mut connection = connected(&url)?;
        let start = Instant::now();
        let mut sent = 0;
        while sent < count || connection.pending() > 0 {
            while sent < count {
                match connection.publish(Publish::new("a/topic/of/20/bytes!", &PAYLOAD).qos(qos)) {
                    Ok(_) => sent += 1,
                    Err(error) if error.is_full() => break,
                    Err(error) => return Err(error.into()),
                }
            }
            while connection.poll(Some(Duration::ZERO))?.is_some() {}
        }
        report(&name, count, start);
    }
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let name = format!("Client receives, QoS {}", qos as u8);
        if !wanted(&name) {
            continue;
        }
        let client = Client::connect(Options::new(&url)?)?;
        let start = Instant::now();
        client.subscribe(&format!("flood/{}/{count}", qos as u8), qos)?;
        for _ in 0..count {
            client.recv().ok_or("stopped")?;
        }
        report(&name, count, start);
    }
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let name = format!("Connection receives, QoS {}", qos as u8);
        if !wanted(&name) {
            continue;
        }
        let mut connection = connected(&url)?;
        let start = Instant::now();
        connection.subscribe(&format!("flood/{}/{count}", qos as u8), qos)?;
        let mut received = 0;
        while received < count {
            received += u32::from(matches!(connection.poll(None)?, Some(Event::Message(_))));
        }
        report(&name, count, start);
    }
    let rounds = count.min(20_000);
    let mut times = Vec::new();
    let name = "Client, QoS 1 acknowledged";
    if wanted(name) {
        let client = Client::connect(Options::new(&url)?)?;
        for _ in 0..rounds {
            let start = Instant::now();
            let receipt = client.publish(Publish::new("a", &PAYLOAD).qos(Qos::AtLeastOnce))?;
            let _acknowledged = receipt.wait()?;
            times.push(start.elapsed());
        }
        median(name, &mut times);
    }
    let name = "Connection, QoS 1 acknowledged";
    if wanted(name) {
        let mut connection = connected(&url)?;
        for _ in 0..rounds {
            let start = Instant::now();
            connection.publish(Publish::new("a", &PAYLOAD).qos(Qos::AtLeastOnce))?;
            while !matches!(connection.poll(None)?, Some(Event::Done { .. })) {}
            times.push(start.elapsed());
        }
        median(name, &mut times);
    }
    Ok(())
}

fn median(what: &str, times: &mut Vec<Duration>) {
    times.sort();
    let median = times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!("{what:<32} {median:>10.1} µs (median)");
    times.clear();
}

fn connected(url: &str) -> Result<Connection, Box<dyn Error>> {
    let mut connection = Connection::new(Options::new(url)?)?;
    while !matches!(connection.poll(None)?, Some(Event::Connected(_))) {}
    Ok(connection)
}

fn report(what: &str, count: u32, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:<32} {:>10.0} messages/s", f64::from(count) / seconds);
}

/// Acknowledges what comes; a subscription to `flood/QOS/COUNT` brings as many messages.
fn serve(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = vec![0; 256 * 1024];
    let mut held = 0;
    let mut answer = Vec::new();
    loop {
        let read = stream.read(buffer.get_mut(held..)?).ok().filter(|read| *read > 0)?;
        held += read;
        let mut at = 0;
        while let Ok(Some(len)) = frame_len(buffer.get(at..held)?, 1 << 20) {
            let frame = buffer.get(at..at + len)?;
            at += len;
            // Reading the head of a QoS 0 message would only measure this server.
            if frame.first()? & 0xF6 == 0x30 {
                continue;
            }
            match Packet::decode(frame, Version::V5, Peer::Client).ok()? {
                Packet::Connect(_) => push(&mut answer, &Connack::accepted(false)),
                Packet::Publish(publish) => match publish.qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => push(&mut answer, &Puback::new(publish.packet_id?)),
                    Qos::ExactlyOnce => push(&mut answer, &Pubrec::new(publish.packet_id?)),
                },
                Packet::Pubrel(pubrel) => push(&mut answer, &Pubcomp::new(pubrel.packet_id)),
                Packet::Subscribe(subscribe) => {
                    let codes = [ReasonCode::Success];
                    let suback = Suback {
                        packet_id: subscribe.packet_id,
                        properties: Properties::EMPTY,
                        codes: ReasonCodes::from(&codes),
                    };
                    push(&mut answer, &suback);
                    let filter = subscribe.filters.iter().next()?.filter.as_str().to_owned();
                    stream.write_all(&answer).ok()?;
                    answer.clear();
                    let (qos, count) = filter.strip_prefix("flood/")?.split_once('/')?;
                    flood(stream.try_clone().ok()?, qos == "1", count.parse().ok()?);
                }
                _ => {}
            }
        }
        buffer.copy_within(at..held, 0);
        held -= at;
        stream.write_all(&answer).ok()?;
        answer.clear();
    }
}

fn flood(mut stream: TcpStream, acknowledged: bool, count: u32) {
    thread::spawn(move || -> Option<()> {
        let mut batch = Vec::new();
        let mut publish =
            mqtt_adapter_std::proto::Publish::new(TopicName::new("a/topic/of/20/bytes!").ok()?, &PAYLOAD);
        for number in 0..count {
            if acknowledged {
                // Nobody here waits for acknowledgements: identifiers are used again as if they had come.
                publish.qos = Qos::AtLeastOnce;
                publish.packet_id = PacketId::new((number % 1_000 + 1) as u16);
            }
            push(&mut batch, &publish);
            if batch.len() > 60_000 || number + 1 == count {
                stream.write_all(&batch).ok()?;
                batch.clear();
            }
        }
        Some(())
    });
}

fn push(out: &mut Vec<u8>, packet: &impl Encode) {
    let at = out.len();
    if let Ok(len) = packet.encoded_len(Version::V5) {
        out.resize(at + len, 0);
        if let Some(room) = out.get_mut(at..) {
            // The length was asked for just now.
            let _ = packet.encode(Version::V5, room);
        }
    }
}
