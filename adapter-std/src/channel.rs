//! Threads between a client and what the application waits with: a channel, a callback.

use core::panic::AssertUnwindSafe;
use std::io;
use std::panic;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use mqtt_adapter_core::{Failed, Jobs, Message, Outcome};

use crate::client::{Client, Receipt};

impl Client {
    /// Gives messages to a channel from now on, on a thread of its own: for who waits there for other things too, or for
    /// several clients at once. Messages that came before are given first.
    ///
    /// The thread is no handle: it ends when the client has stopped and no message is left, and lets go of its
    /// sender. When the channel is full it waits, messages wait in the inbox, and what happens when that is full
    /// is what [`Options::with_when_inbox_full`](crate::Options::with_when_inbox_full) chose. When the receiver is
    /// dropped the thread ends with the next message, which it puts back for [`recv`](Self::recv).
    ///
    /// ```no_run
    /// use std::sync::mpsc::sync_channel;
    /// use mqtt_adapter_std::{Client, Options, Qos};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (sender, messages) = sync_channel(16);
    /// for url in ["mqtt://one.example", "mqtt://two.example"] {
    ///     let client = Client::connect(Options::new(url)?)?;
    ///     client.messages_to(sender.clone())?;
    ///     client.subscribe("lamp/#", Qos::AtLeastOnce)?;
    /// #   std::mem::forget(client);
    /// }
    /// for message in messages {
    ///     println!("{}", message.topic());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn messages_to(&self, channel: SyncSender<Message>) -> io::Result<()> {
        let client = self.lend();
        thread::Builder::new().name("mqtt-channel".to_owned()).spawn(move || {
            while let Some(message) = client.recv() {
                if let Err(mpsc::SendError(message)) = channel.send(message) {
                    client.inner().put_back(message);
                    return;
                }
            }
        })?;
        Ok(())
    }
}

impl Receipt {
    /// Has `then` called with the end, as [`wait`](Self::wait) gives it; nobody has to wait. Where it has ended already, `then`
    /// is called at once, before this returns.
    ///
    /// Else it is called on a thread that makes the calls of one client one after another, in the order in which its
    /// operations end. It may take its time, publish, wait for other receipts, stop the client or drop the last handle of
    /// it: only other calls wait meanwhile. A panic in it ends that call alone. Each `then` is called once: when
    /// the client stops first, with [`Outcome::Stopped`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = mqtt_adapter_std::Client::connect(mqtt_adapter_std::Options::new("mqtt://localhost")?)?;
    /// # use mqtt_adapter_std::{Publish, Qos};
    /// let receipt = client.publish(Publish::new("lamp/7", "on").qos(Qos::AtLeastOnce))?;
    /// receipt.on_done(|result| println!("{result:?}"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system gives no thread: `then` is not called.
    pub fn on_done(self, then: impl FnOnce(Result<Outcome, Failed>) + Send + 'static) -> io::Result<()> {
        self.into_inner().then(start, move |outcome| then(outcome.into_result()))
    }
}

/// The thread that makes calls, until no client is left that could ask for one.
fn start() -> io::Result<Jobs> {
    let (jobs, calls) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    thread::Builder::new().name("mqtt-done".to_owned()).spawn(move || {
        for call in calls {
            // What it leaves half done is its own; the panic was reported when it happened.
            let _ = panic::catch_unwind(AssertUnwindSafe(call));
        }
    })?;
    Ok(jobs)
}
