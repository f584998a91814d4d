//! What else is asked of every broker: which levels it grants, retained messages, wills, large payloads, versions.

use core::time::Duration;
use std::time::Instant;

use mqtt_adapter_std::{ConnectError, Disconnected, Event, Publish, Qos, Version, Will};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::brokers::Broker;

use crate::common::{CAP, Found, QUIET, connect, ended, name, ok, options, send, subscribe, written};

/// Which level is granted to who asks for each of the three.
pub(crate) fn granted<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    let mut client: A = connect(options(broker, &broker.url(version), version, &name(&["g", row])))?;
    let mut granted = Vec::new();
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let filter = name(&["granted", row, &(qos as u8).to_string()]);
        granted.push((subscribe(&mut client, &filter, qos)? as u8).to_string());
    }
    Ok(granted.join(", "))
}

/// A retained message comes to who subscribes later, and not after it was cleared.
pub(crate) fn retained<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let (topic, url) = (name(&["kept", row]), broker.url(version));
    let mut sender: A = connect(options(broker, &url, version, &name(&["rs", row])))?;
    let mut retain = |payload: &str| -> Result<(), Found> {
        let publish = Publish::new(&topic, payload).qos(qos).retain(true);
        let receipt = sender.publish(publish).map_err(|error| Err(format!("PUBLISH: {error}")))?;
        let outcome = sender.outcome(receipt);
        if !outcome.is_success() {
            return Err(Ok(ended(&outcome)));
        }
        // What is acknowledged behind it says that the server has had it at QoS 0, too.
        send(&mut sender, &name(&["fence", row]), Qos::AtLeastOnce, 0..1, &[]).map(|_| ())
    };
    if let Err(found) = retain("open") {
        return found;
    }
    let mut late: A = connect(options(broker, &url, version, &name(&["rl", row])))?;
    subscribe(&mut late, &topic, qos)?;
    let Some(message) = late.message(QUIET) else { return Ok("is not retained".into()) };
    if (message.payload(), message.retain()) != (b"open", true) {
        return Err(format!("came as {message:?}"));
    }
    if let Err(found) = retain("") {
        return found;
    }
    let mut later: A = connect(options(broker, &url, version, &name(&["rn", row])))?;
    subscribe(&mut later, &topic, qos)?;
    match later.message(Duration::from_millis(300)) {
        None => ok(),
        Some(_) => Ok("is not cleared".into()),
    }
}

/// A will comes after a cut, and not after DISCONNECT.
pub(crate) fn will<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let topic = name(&["will", row]);
    let proxy = broker.route(version, &[]);
    let mut watcher: A = connect(options(broker, &broker.url(version), version, &name(&["ww", row])))?;
    subscribe(&mut watcher, &topic, qos)?;
    let will = Will::new(&*topic, "gone").with_qos(qos);
    let device = options(broker, &proxy.url(), version, &name(&["wd", row])).with_will(will);
    let mut device: A = match connect(device) {
        Ok(device) => device,
        Err(why) => return Ok(why),
    };
    proxy.cut_now();
    let Some(message) = watcher.message(QUIET) else { return Ok("sends no will".into()) };
    if message.payload() != b"gone" {
        return Err(format!("came as {message:?}"));
    }
    // Back again, and this time with DISCONNECT.
    let mut cut = false;
    loop {
        match device.event(CAP) {
            Some(Event::Disconnected(_)) => cut = true,
            Some(Event::Connected(_)) if cut => break,
            Some(_) => {}
            None => return Err("does not come back".into()),
        }
    }
    device.stop();
    match watcher.message(Duration::from_millis(300)) {
        None => ok(),
        Some(_) => Ok("also after DISCONNECT".into()),
    }
}

/// 256 KiB, from one client to another.
pub(crate) fn large<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let topic = name(&["large", row]);
    let payload: Vec<u8> = (0..262_144_u32).map(|at| (at % 251) as u8).collect();
    let patient = |who: &str| {
        let mut options = options(broker, &broker.url(version), version, &name(&[who, row]));
        // Over WebSocket mosquitto 2.0.11 sends 4 KiB every 100 ms.
        options.engine_mut().ack_timeout = Some(CAP);
        options
    };
    let mut receiver: A = connect(patient("lr"))?;
    subscribe(&mut receiver, &topic, qos)?;
    let mut client: A = connect(patient("ls"))?;
    let publish = Publish::new(&topic, &payload[..]).qos(qos);
    let receipt = client.publish(publish).map_err(|error| format!("PUBLISH: {error}"))?;
    let outcome = client.outcome(receipt);
    if !outcome.is_success() {
        return Ok(ended(&outcome));
    }
    match receiver.message(CAP) {
        Some(message) if message.payload() == payload => ok(),
        Some(message) => Err(format!("{} other bytes came", message.payload().len())),
        None => Err("is lost".into()),
    }
}

/// A client that would like 5.0 and takes what it gets: which version that is.
pub(crate) fn ladder<A: Adapter>(broker: &Broker, row: &str) -> Found {
    let mut options = options(broker, &broker.url(Version::V5), Version::V5, &name(&["v", row]));
    options.engine_mut().version_ladder = true;
    let mut client = A::start(options).map_err(|error| error.to_string())?;
    let cap = Instant::now() + CAP;
    let mut failed = 0;
    while let Some(event) = client.event(cap.saturating_duration_since(Instant::now())) {
        match event {
            Event::Connected(connected) => {
                client.stop();
                return Ok(written(connected.version).into());
            }
            Event::Disconnected(Disconnected { why, .. }) => {
                failed += 1;
                if failed == 3 {
                    return Ok(format!("none: {why}"));
                }
            }
            _ => {}
        }
    }
    Err("neither connected nor refused".into())
}

/// What becomes of a client that speaks only this version; a broker that does not know it must not make it hang.
pub(crate) fn speaks<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    match A::connect(options(broker, &broker.url(version), version, &name(&["s", row]))) {
        Ok(mut client) => {
            client.stop();
            Ok("yes".into())
        }
        Err(ConnectError::Failed(failed)) => Ok(failed.why.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
