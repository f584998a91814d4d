//! Testing one's own application with the real client, without sockets: the model broker of `mqtt-sim` is on the other end
//! of a stream of memory.
//!
//! `cargo run -p mqtt-adapter-smol --example in_memory`
//!
//! The application under test is a thermostat: it is told the temperature, and switches the heating. The test cuts its
//! connection between the two, has the broker refuse new ones for a moment, and looks at what arrives. The
//! example of the same name in `mqtt-adapter-std` does it with the blocking client.

use core::error::Error;
use core::future::Future;
use core::time::Duration;

use async_io::Timer;
use futures_lite::{StreamExt, future};
use mqtt_adapter_smol::{ByteStream, Client, Connection, Options, Publish, Qos, connect};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::MemoryBroker;

/// The application under test: knows of its client, and nothing of what that is connected to.
async fn thermostat(client: Client) -> Result<(), Box<dyn Error>> {
    let mut messages = client.messages();
    while let Some(message) = messages.next().await {
        let degrees: f32 = String::from_utf8_lossy(message.payload()).parse().unwrap_or(20.0);
        let state = if degrees < 19.0 { "on" } else { "off" };
        let _receipt = client.publish(Publish::new("room/heating", state).qos(Qos::ExactlyOnce)).await?;
    }
    Ok(())
}

/// A client of this broker, whatever the address says.
fn client(broker: &MemoryBroker, client_id: &str) -> Result<(Client, Connection), Box<dyn Error>> {
    let broker = broker.clone();
    let options = Options::new("mqtt://nowhere.invalid")?
        .with_client_id(client_id)
        .with_session_expiry(Duration::from_secs(60))
        .with_async_connector(move |_| {
            let stream = broker.connect();
            async { stream.map(ByteStream::new) }
        });
    Ok(connect(options)?)
}

/// What the heating was told, in order.
fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let broker = MemoryBroker::new(BrokerConfig::default());
    broker.set_piece(3); // every packet arrives in pieces
    let (heating, first) = client(&broker, "heating")?;
    let (thermometer, second) = client(&broker, "thermometer")?;
    let (control, third) = client(&broker, "thermostat")?;
    let test = async {
        heating.subscribe("room/heating", Qos::ExactlyOnce).await?;
        control.subscribe("room/temperature", Qos::ExactlyOnce).await?;
        let mut told = Vec::new();
        for degrees in ["21.5", "18.2", "17.9", "20.1"] {
            let reading = Publish::new("room/temperature", degrees).qos(Qos::ExactlyOnce);
            let _acked = thermometer.publish(reading).await?.await?;
            broker.cut("thermostat");
            broker.set_reachable(false);
            Timer::after(Duration::from_millis(20)).await;
            broker.set_reachable(true);
            let order = heating.recv().await.ok_or("stopped")?;
            told.push(String::from_utf8_lossy(order.payload()).into_owned());
        }
        for client in [&thermometer, &control, &heating] {
            client.stop(Duration::from_secs(60)).await;
        }
        Ok::<_, Box<dyn Error>>(told)
    };
    // Any executor would do; here everything runs side by side in one future.
    let connections = future::zip(first, future::zip(second, third));
    let all = future::zip(thermostat(control.clone()), future::zip(test, connections));
    let (_, (told, _)) = future::block_on(in_time(all))?;
    told
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Error>> {
    let late = async {
        Timer::after(Duration::from_secs(60)).await;
        Err("it takes too long".into())
    };
    future::or(async { Ok(work.await) }, late).await
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
