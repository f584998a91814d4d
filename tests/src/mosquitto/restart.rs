//! A mosquitto that keeps its sessions on disk, and is stopped and started again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Instant;

use core::time::Duration;

use super::{Mosquitto, START_CAP, answers, end, run};
use crate::folder::Folder;

impl Mosquitto {
    /// Starts one that keeps sessions, subscriptions and messages in a file. It writes that when it is told to, and when
    /// it ends in order.
    ///
    /// # Panics
    ///
    /// When mosquitto is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn keeping() -> Self {
        let folder = Folder::new("mosquitto");
        let lines = format!(
            "allow_anonymous true\npersistence true\npersistence_location {}/\nautosave_interval 0\n",
            folder.path().display()
        );
        Self::inside(folder, "", &lines)
    }

    /// Tells it to end in order, and waits for that.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        let cap = Instant::now() + START_CAP;
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            assert!(Instant::now() < cap, "mosquitto does not end\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tells it to write what it keeps, and waits until that is done.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn save(&self) {
        // It writes another file and puts it in the place of this one.
        let file = || fs::metadata(self.folder.file("mosquitto.db")).map(|file| file.ino()).ok();
        let before = file();
        self.signal("-USR1");
        let cap = Instant::now() + START_CAP;
        while file().is_none() || file() == before {
            assert!(Instant::now() < cap, "mosquitto does not save\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again with what it has kept, on the same port.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn again(&mut self) {
        let cap = Instant::now() + START_CAP;
        loop {
            self.child = run(&self.folder);
            if answers(&mut self.child, self.address) {
                return;
            }
            end(&mut self.child);
            // For a moment someone else may have the port.
            assert!(Instant::now() < cap, "mosquitto does not start again\n{}", self.log());
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "mosquitto still runs");
    }
}
