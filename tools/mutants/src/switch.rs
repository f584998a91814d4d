//! Which mutant is on: this file becomes a module of the mutated crate.

use core::intrinsics::const_eval_select;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::fs::File;
use std::env;
use std::os::unix::fs::FileExt;
use std::string::String;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

const RECORD: u32 = u32::MAX;
const MOST: usize = 65_536;

static CHOSEN: AtomicU32 = AtomicU32::new(0);
static STEPS: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static REACHED: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];
static COUNT: AtomicU64 = AtomicU64::new(0);
static FILE: OnceLock<File> = OnceLock::new();

/// Whether mutant `n` is on. What the compiler evaluates is never mutated.
pub(crate) const fn on(n: u32) -> bool {
    const_eval_select((n,), never, asked)
}

const fn never(_: u32) -> bool {
    false
}

#[inline]
fn asked(n: u32) -> bool {
    let chosen = CHOSEN.load(Relaxed);
    // Two threads may lose a step to each other: the limit is a rough one.
    let steps = STEPS.load(Relaxed) + 1;
    STEPS.store(steps, Relaxed);
    if steps > LIMIT.load(Relaxed) {
        std::process::exit(124);
    }
    if chosen == RECORD {
        record(n, steps);
    }
    chosen == n
}

/// Runs before `main`, since a test may count what is allocated.
// SAFETY: the section is a list of pointers to functions of this type.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// `MUTANT`: the number of the mutant that is on, or the file in which to note those that are asked for.
/// `MUTANT_STEPS`: how often mutants may be asked for before the process ends.
extern "C" fn begin() {
    let mutant = env::var("MUTANT").unwrap_or_else(|_| String::from("0"));
    if let Some(limit) = env::var("MUTANT_STEPS").ok().and_then(|limit| limit.parse().ok()) {
        LIMIT.store(limit, Relaxed);
    }
    let chosen = mutant.parse().unwrap_or_else(|_| {
        FILE.get_or_init(|| File::create(&mutant).expect("a file for the record"));
        RECORD
    });
    CHOSEN.store(chosen, Relaxed);
}

/// The record is the count of steps, eight bytes, and four bytes for each mutant. Nothing is allocated.
fn record(n: u32, steps: u64) {
    let Some(file) = FILE.get() else { return };
    if steps % 64 == 1 {
        file.write_all_at(&steps.to_le_bytes(), 0).expect("the record is written");
    }
    if !REACHED[n as usize].swap(true, Relaxed) {
        let at = 8 + 4 * COUNT.fetch_add(1, Relaxed);
        file.write_all_at(&n.to_le_bytes(), at).expect("the record is written");
    }
}
