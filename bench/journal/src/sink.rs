//! A server that accepts everything and acknowledges QoS 1.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Its URL.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    url
}

fn serve(mut stream: TcpStream) {
    let mut input = BufReader::with_capacity(64 * 1024, stream.try_clone().unwrap());
    let mut out = Vec::new();
    let mut body = Vec::new();
    loop {
        let mut first = [0];
        if input.read_exact(&mut first).is_err() {
            return;
        }
        let (mut len, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            input.read_exact(&mut byte).unwrap();
            len |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        body.resize(len, 0);
        input.read_exact(&mut body).unwrap();
        match first[0] >> 4 {
            1 => out.extend_from_slice(&[0x20, 3, 0, 0, 0]),
            3 if first[0] & 0b0110 != 0 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                out.extend_from_slice(&[0x40, 2, body[topic + 2], body[topic + 3]]);
            }
            12 => out.extend_from_slice(&[0xD0, 0]),
            _ => {}
        }
        if input.buffer().is_empty() {
            if stream.write_all(&out).is_err() {
                return;
            }
            out.clear();
        }
    }
}
