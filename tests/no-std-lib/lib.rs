//! A whole MQTT client in one static, for a C program without an operating system: no std, no allocator.
//!
//! The library links only while nothing in the engine or the codec names `std` or `alloc`: it has a panic handler of its
//! own, which `std` would collide with, and no global allocator, which `alloc` would ask for.
//!
//! The C side is one superloop: dial, then [`mqtt_opened`]; hand over what was read with [`mqtt_receive`]; send what
//! [`mqtt_outgoing`] copies out; call [`mqtt_timeout`] when [`mqtt_deadline`] has passed.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::slice;

use mqtt_session::proto::{Properties, Qos, Subscription, SubscriptionOptions, TopicFilter, TopicName};
use mqtt_session::{Closed, Command, Config, ConnectOptions, Event, FixedSession, Instant, Message};

/// 4 KiB for what waits or is on its way, eight operations, eight inbound messages.
type Client = FixedSession<[u8; 4096], 8, 8>;

struct Superloop(UnsafeCell<Client>);

// SAFETY: the functions below are for one thread without interrupts, as their documentation asks, so that no two
// references to the session are alive at once.
unsafe impl Sync for Superloop {}

static CLIENT: Superloop = Superloop(UnsafeCell::new(Client::new([0; 4096], Config::new(7))));

fn options() -> ConnectOptions<'static> {
    ConnectOptions::new("superloop")
}

/// Runs `body` with the session.
fn with<R>(body: impl FnOnce(&mut Client) -> R) -> R {
    // SAFETY: one thread calls these functions, none of them calls another while it holds the session, and the
    // reference does not leave `body`.
    body(unsafe { &mut *CLIENT.0.get() })
}

/// Begins. Returns 1 if the session accepted it.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_start() -> u8 {
    with(|client| client.start(&options()).is_ok().into())
}

/// What the superloop must do now: 0 nothing, 1 dial, 2 close.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_command() -> u8 {
    with(|client| match client.poll_command() {
        Some(Command::Open { .. }) => 1,
        Some(Command::Close) => 2,
        _ => 0,
    })
}

/// The connection stands. `now` in microseconds, here and below.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_opened(now: u64) {
    with(|client| client.opened(&options(), Instant::from_micros(now)));
}

/// The connection is gone, or was never made.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_closed(now: u64) {
    with(|client| client.closed(Closed::Failed, Instant::from_micros(now)));
}

/// When to call [`mqtt_timeout`]; the largest number for never.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_deadline() -> u64 {
    with(|client| client.poll_timeout().map_or(u64::MAX, Instant::as_micros))
}

/// A deadline has passed.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_timeout(now: u64) {
    with(|client| {
        client.handle_timeout(Instant::from_micros(now));
        while client.poll_event().is_some() {}
    });
}

/// Takes `len` bytes from the network, writes to `messages` how many messages were in them, and returns how many bytes
/// were used: the rest comes again, with what follows it.
///
/// # Safety
///
/// `input` points to `len` readable bytes, `messages` to a writable number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqtt_receive(input: *const u8, len: usize, now: u64, messages: *mut u32) -> usize {
    // SAFETY: the caller promises `len` readable bytes.
    let mut input = unsafe { slice::from_raw_parts(input, len) };
    let mut count = 0;
    with(|client| {
        while let Some(event) = client.receive(&mut input, Instant::from_micros(now)) {
            if let Event::Message(_) = event {
                count += 1;
            }
        }
    });
    // SAFETY: the caller promises a writable number.
    unsafe { *messages = count };
    len - input.len()
}

/// Copies up to `len` bytes that are to be sent into `output` and returns how many.
///
/// # Safety
///
/// `output` points to `len` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqtt_outgoing(output: *mut u8, len: usize, now: u64) -> usize {
    // SAFETY: the caller promises `len` writable bytes, which nobody else uses meanwhile.
    let output = unsafe { slice::from_raw_parts_mut(output, len) };
    with(|client| client.outgoing(Instant::from_micros(now)).copy_to(output))
}

/// Subscribes to `commands/#`. Returns 1 if it was accepted.
#[unsafe(no_mangle)]
pub extern "C" fn mqtt_subscribe() -> u8 {
    let Ok(filter) = TopicFilter::new("commands/#") else { return 0 };
    let wanted = [Subscription { filter, options: SubscriptionOptions::new(Qos::ExactlyOnce) }];
    with(|client| client.subscribe(&wanted, Properties::EMPTY).is_ok().into())
}

/// Publishes `len` bytes to `readings` at QoS 1. Returns 1 if they were accepted.
///
/// # Safety
///
/// `payload` points to `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqtt_publish(payload: *const u8, len: usize) -> u8 {
    // SAFETY: the caller promises `len` readable bytes.
    let payload = unsafe { slice::from_raw_parts(payload, len) };
    let Ok(topic) = TopicName::new("readings") else { return 0 };
    with(|client| client.publish(&Message::new(topic).qos(Qos::AtLeastOnce), payload.into()).is_ok().into())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
