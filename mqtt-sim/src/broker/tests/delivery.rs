//! The same calls give the same bytes.

use mqtt_proto::Version;

use super::peer::Bench;

#[test]
fn the_order_of_deliveries_is_that_of_the_sessions() {
    let mut bench = Bench::new();
    let names = ["zebra", "ant", "mole"];
    let clients = names.map(|name| bench.join(Version::V5, name));
    for client in clients.iter().rev() {
        bench.subscribe(*client, "t", 0);
    }
    while bench.broker.poll_active().is_some() {}
    bench.publish(clients[1], "t", 0, 0, "x");
    let order: Vec<_> = core::iter::from_fn(|| bench.broker.poll_active()).collect();
    assert_eq!(order, clients.map(|client| client.conn));
}

#[test]
fn two_brokers_with_the_same_input_give_the_same_output() {
    let run = || {
        let mut bench = Bench::new();
        let mut all = Vec::new();
        let clients: Vec<_> =
            (0..20).map(|n| bench.join_kept(Version::V5, &format!("client {}", n * 7 % 20))).collect();
        for (n, client) in clients.iter().enumerate() {
            bench.subscribe(*client, &format!("t/{}", n % 3), 2);
            bench.subscribe(*client, "$share/g/#", 1);
        }
        for (n, client) in clients.iter().enumerate() {
            bench.publish(*client, &format!("t/{}", n % 4), 1, 1, "x");
            if n % 5 == 0 {
                bench.cut(*client);
            }
        }
        while let Some(conn) = bench.broker.poll_active() {
            all.push((conn, bench.take_bytes(conn)));
        }
        (all, bench.broker.stats())
    };
    assert_eq!(run(), run());
}
