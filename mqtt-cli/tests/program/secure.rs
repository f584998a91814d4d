//! mosquitto's other listeners: TLS, client certificates, WebSocket, a Unix socket, a password; and through proxies.

use mqtt_tests::folder::Folder;
use mqtt_tests::forward::{CREDENTIALS, Forward};
use mqtt_tests::mosquitto::{Carrier, Mosquitto, free_address};

use crate::bad_input::one_line;
use crate::run::{Running, mqtt, run};

/// A line through the server and back, with these options on both sides.
fn there_and_back(url: &str, options: &[&str]) {
    let listener = Running::start(mqtt(&["sub", url, "a/#", "--count", "1", "--qos", "1"]).args(options));
    listener.says("subscribed");
    let ended = run(mqtt(&["pub", url, "a/b", "over there", "--qos", "1"]).args(options));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(listener.line(), "over there");
    let ended = listener.ended();
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

fn file(broker: &Mosquitto, name: &str) -> String {
    broker.file(name).display().to_string()
}

#[test]
fn tls_with_the_authority_of_a_file() {
    let (broker, door) = Mosquitto::over(Carrier::Tls);
    let (url, ca) = (door.url(broker.address()), file(&broker, "authority.pem"));
    there_and_back(&url, &["--ca", &ca]);
    there_and_back(&url, &["--ca", &ca, "--server-name", "localhost"]);
    there_and_back(&url.replace("mqtts://127.0.0.1", "ssl://localhost"), &["--ca", &ca]);

    // Each with a word on what to do.
    let ended = run(&mut mqtt(&["pub", &url, "a", "b"]));
    one_line(&ended, 3, &["UnknownIssuer", "--ca"]);
    let ended = run(&mut mqtt(&["pub", &url, "a", "b", "--ca", &ca, "--server-name", "elsewhere.example"]));
    one_line(&ended, 3, &["elsewhere.example", "--server-name"]);
}

#[test]
fn a_client_certificate() {
    let (broker, door) = Mosquitto::over(Carrier::MutualTls);
    let url = door.url(broker.address());
    let [ca, cert, key] = ["authority.pem", "client.pem", "client.key"].map(|name| file(&broker, name));
    there_and_back(&url, &["--ca", &ca, "--cert", &cert, "--key", &key]);

    let ended = run(&mut mqtt(&["pub", &url, "a", "b", "--ca", &ca]));
    one_line(&ended, 3, &["CertificateRequired", "--cert"]);
    let ended = run(&mut mqtt(&["pub", &url, "a", "b", "--ca", &ca, "--cert", &cert, "--key", &ca]));
    one_line(&ended, 2, &["--key", "private key"]);
}

#[test]
fn web_sockets() {
    let (broker, door) = Mosquitto::over(Carrier::Ws);
    let url = door.url(broker.address());
    there_and_back(&url, &[]);
    there_and_back(&format!("{url}/mqtt"), &["--ws-header", "X-Asked-By: a test", "--ws-header", "X-Empty:"]);
    let (broker, door) = Mosquitto::over(Carrier::Wss);
    let ca = file(&broker, "authority.pem");
    there_and_back(&door.url(broker.address()), &["--ca", &ca, "--ws-header", "X-Asked-By: a test"]);
}

#[test]
fn a_unix_socket() {
    let (broker, door) = Mosquitto::over(Carrier::Unix);
    there_and_back(&door.url(broker.address()), &[]);
}

#[test]
fn through_proxies() {
    let (broker, door) = Mosquitto::over(Carrier::Tls);
    let (url, ca) = (door.url(broker.address()), file(&broker, "authority.pem"));
    let (name, password) = CREDENTIALS;
    for proxy in [Forward::socks5(true), Forward::http(true)] {
        let with = proxy.url().replace("://", &format!("://{name}:{password}@"));
        there_and_back(&url, &["--ca", &ca, "--proxy", &with]);
        let publish = ["pub", &url, "a", "b", "--qos", "1", "--ca", &ca, "--proxy", "env"];
        let ended = run(mqtt(&publish).env("https_proxy", &with));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        // Without what it asks for there is no way through, and none around it.
        let ended = run(&mut mqtt(&["pub", &url, "a", "b", "--ca", &ca, "--proxy", &proxy.url()]));
        one_line(&ended, 3, &["proxy"]);
        assert!(!ended.errors.contains(password), "{ended:?}");
    }
    one_line(&run(&mut mqtt(&["pub", &url, "a", "b", "--proxy", "ftp://proxy"])), 2, &["--proxy", "ftp"]);
}

#[test]
fn a_password_from_a_file_and_from_the_environment() {
    let (broker, door) = Mosquitto::over(Carrier::Password);
    let url = door.url(broker.address());
    let (name, password) = door.user().expect("it asks for one");
    let folder = Folder::new("cli");
    let path = folder.file("password");
    // An editor leaves a line end behind it.
    std::fs::write(&path, format!("{password}\n")).expect("the folder was made for this");
    there_and_back(&url, &["--username", name, "--password-file", &path.display().to_string()]);

    let publish = ["pub", &url, "a", "b", "--qos", "1", "--username", name];
    let ended = run(mqtt(&publish).env("MQTT_PASSWORD", password));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    one_line(&run(&mut mqtt(&publish)), 3, &["authorized"]);
    one_line(
        &run(mqtt(&publish).args(["--password-file", "no/such/file"])),
        2,
        &["--password-file", "no/such/file"],
    );
}

#[test]
fn what_does_not_fit_the_url_is_told_before_anything_is_sent() {
    let address = free_address();
    let plain = format!("mqtt://{address}");
    let secure = format!("mqtts://{address}");
    one_line(&run(&mut mqtt(&["pub", &plain, "a", "b", "--ca", "x.pem"])), 2, &["--ca", "mqtts://"]);
    one_line(&run(&mut mqtt(&["sub", &plain, "a", "--server-name", "x"])), 2, &["--server-name", "mqtts://"]);
    one_line(&run(&mut mqtt(&["sub", &secure, "a", "--ws-header", "A: b"])), 2, &["--ws-header", "wss://"]);
    one_line(
        &run(&mut mqtt(&["pub", &secure, "a", "b", "--ca", "no/such/file"])),
        2,
        &["--ca", "no/such/file"],
    );
    let folder = Folder::new("cli");
    let empty = folder.file("empty.pem");
    std::fs::write(&empty, "").expect("the folder was made for this");
    let ended = run(&mut mqtt(&["pub", &secure, "a", "b", "--ca", &empty.display().to_string()]));
    one_line(&ended, 2, &["--ca", "empty.pem", "none in the PEM"]);
    // One without the other, and a header that is none: the usage text says so.
    for wrong in [
        &["--cert", "x.pem"][..],
        &["--key", "x.key"],
        &["--ws-header", "no colon"],
        &["--ws-header", "a b: c"],
    ] {
        let ended = run(mqtt(&["pub", &secure, "a", "b"]).args(wrong));
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.errors.contains("--help"), "{ended:?}");
    }
}
