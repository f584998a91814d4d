//! Testing one's own application with the real client, without sockets: the model broker of `mqtt-sim` is on the other end
//! of a stream of memory.
//!
//! `cargo run -p mqtt-adapter-std --example in_memory`
//!
//! The application under test is a thermostat: it is told the temperature, and switches the heating. The test cuts its
//! connection between the two, has the broker refuse new ones for a moment, and looks at what arrives. The
//! example of the same name in `mqtt-adapter-smol` does it with the async client.

use core::error::Error;
use core::time::Duration;
use std::thread;

use mqtt_adapter_std::{ByteStream, Client, Event, Options, Publish, Qos};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::MemoryBroker;

/// The application under test: knows of its options, and nothing of what they connect to.
fn thermostat(options: Options) -> Result<Client, Box<dyn Error>> {
    let client = Client::connect(options)?;
    client.subscribe("room/temperature", Qos::ExactlyOnce)?;
    let worker = client.clone();
    thread::spawn(move || {
        for message in worker.messages() {
            let degrees: f32 = String::from_utf8_lossy(message.payload()).parse().unwrap_or(20.0);
            let state = if degrees < 19.0 { "on" } else { "off" };
            let order = Publish::new("room/heating", state).qos(Qos::ExactlyOnce);
            if worker.publish(order).is_err() {
                break;
            }
        }
    });
    Ok(client)
}

/// Options that connect to this broker, whatever the address says.
fn options(broker: &MemoryBroker, client_id: &str) -> Result<Options, Box<dyn Error>> {
    let broker = broker.clone();
    Ok(Options::new("mqtt://nowhere.invalid")?
        .with_client_id(client_id)
        .with_session_expiry(Duration::from_secs(60))
        .with_connector(move |_| broker.connect().map(ByteStream::new)))
}

/// What the heating was told, in order.
fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let broker = MemoryBroker::new(BrokerConfig::default());
    broker.set_piece(3); // every packet arrives in pieces
    let heating = Client::connect(options(&broker, "heating")?)?;
    heating.subscribe("room/heating", Qos::ExactlyOnce)?;
    let thermometer = Client::connect(options(&broker, "thermometer")?)?;
    let thermostat = thermostat(options(&broker, "thermostat")?)?;
    let mut told = Vec::new();
    for degrees in ["21.5", "18.2", "17.9", "20.1"] {
        let reading = Publish::new("room/temperature", degrees).qos(Qos::ExactlyOnce);
        let _acked = thermometer.publish(reading)?.wait()?;
        broker.cut("thermostat");
        broker.set_reachable(false);
        thread::sleep(Duration::from_millis(20));
        broker.set_reachable(true);
        let order = heating.recv_timeout(Duration::from_secs(60))?;
        told.push(String::from_utf8_lossy(order.payload()).into_owned());
    }
    while let Some(event) = thermostat.next_event(Some(Duration::ZERO)) {
        if let Event::Disconnected(end) = event {
            println!("thermostat: {end}");
        }
    }
    for client in [&thermometer, &thermostat, &heating] {
        client.stop(Duration::from_secs(60));
    }
    Ok(told)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("the heating was told: {}", run()?.join(", "));
    Ok(())
}

#[test]
fn the_heating_follows_the_temperature_across_cuts() {
    let told = run().unwrap();
    assert_eq!(told, ["off", "on", "on", "off"]);
}
