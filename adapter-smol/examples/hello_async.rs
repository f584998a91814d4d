//! The front page's example of the async client: `cargo run -p mqtt-adapter-smol --example hello_async -- mqtt://localhost`.

use futures_lite::future;
use mqtt_adapter_smol::{Options, Publish, Qos, connect};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    // "mqtt://user:password@broker.example", "mqtts://…", "wss://…"; `mqtt broker` is one to begin with.
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost".to_owned());

    let (client, connection) = connect(Options::new(&url)?)?;
    let application = async move {
        client.subscribe("rooms/#", Qos::AtLeastOnce).await?;
        let receipt = client.publish(Publish::new("rooms/hall/light", "on").qos(Qos::AtLeastOnce)).await?;
        println!("{:?}", receipt.await?);
        let message = client.recv().await.ok_or("the client was stopped")?;
        assert_eq!(message.payload(), b"on");
        Ok::<_, Box<dyn core::error::Error>>(())
    };
    // The connection ends when the last handle is gone.
    future::block_on(future::zip(application, connection)).0
}
