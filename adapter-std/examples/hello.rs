//! The front page's example of the blocking client: `cargo run -p mqtt-adapter-std --example hello -- mqtt://localhost`.

use mqtt_adapter_std::{Client, Options, Publish, Qos};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    // "mqtt://user:password@broker.example", "mqtts://…", "wss://…"; `mqtt broker` is one to begin with.
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost".to_owned());

    let client = Client::connect(Options::new(&url)?)?;
    client.subscribe("rooms/+/temperature", Qos::AtLeastOnce)?;

    let receipt = client.publish(Publish::new("rooms/kitchen/temperature", "21.5").qos(Qos::ExactlyOnce))?;
    println!("{:?}", receipt.wait()?); // Acked(Success): the server has it, for good

    let message = client.recv().ok_or("the client was stopped")?;
    assert_eq!((message.topic(), message.payload()), ("rooms/kitchen/temperature", &b"21.5"[..]));
    Ok(())
}
