//! Through all states, breadth first or depth first, on several threads.

use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use super::action::Action;
use super::digest::Seen;
use super::setup::Setup;
use super::state::State;

/// Parts of the set of what was seen, each behind a lock of its own.
const SHARDS: usize = 64;
/// States a thread takes at a time.
const BATCH: usize = 32;
/// New states from one report to the next, depth first.
const TELL: u64 = 10_000;

/// How far an exploration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps from the first state.
    pub depth: usize,
    /// States to be looked at next.
    pub frontier: usize,
    /// Distinct states so far.
    pub states: u64,
    /// Steps taken, those that led to a state met before included.
    pub steps: u64,
    /// Time so far.
    pub elapsed: Duration,
}

/// Something that must not be, and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// The steps to it, no more than are needed.
    pub path: Vec<Action>,
}

/// What came of an exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Distinct states.
    pub states: u64,
    /// Steps taken, those that led to a state met before included.
    pub steps: u64,
    /// States in which nothing was under way.
    pub peaceful: u64,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// Whether there are no more.
    pub closed: bool,
    /// Time it took.
    pub elapsed: Duration,
    /// What was found first.
    pub finding: Option<Finding>,
}

/// What a thread has done at one depth.
#[derive(Default)]
struct Part {
    next: Vec<State>,
    fresh: u64,
    steps: u64,
    peaceful: u64,
    depth: usize,
    finding: Option<Finding>,
}

/// Goes through the states of `setup` until there are no more, about `most` are known, or something is found.
pub fn explore(setup: &Setup, most: u64, threads: usize, mut progress: impl FnMut(&Progress)) -> Report {
    let begun = Instant::now();
    let mut report = Report {
        states: 0,
        steps: 0,
        peaceful: 0,
        depth: 0,
        closed: false,
        elapsed: Duration::ZERO,
        finding: None,
    };
    let seen: Vec<Mutex<Seen>> = (0..SHARDS).map(|_| Mutex::default()).collect();
    let mut frontier = match State::first(setup) {
        Ok(state) => vec![state],
        Err(what) => {
            report.finding = Some(Finding { what, path: Vec::new() });
            return report;
        }
    };
    for state in &frontier {
        report.states += u64::from(is_new(&seen, state));
    }
    while !frontier.is_empty() && report.states < most && report.finding.is_none() {
        let work = Mutex::new(frontier.into_iter());
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let expand = || expand(setup, &work, &seen);
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(expand)).collect();
            let mut parts = vec![expand()];
            parts.extend(others.into_iter().map(|thread| thread.join().unwrap_or_default()));
            parts
        });
        frontier = Vec::new();
        for part in parts {
            frontier.extend(part.next);
            report.states += part.fresh;
            report.steps += part.steps;
            report.peaceful += part.peaceful;
            // Of what two threads found, always the same.
            let better =
                |found: &Finding| report.finding.as_ref().is_none_or(|known| found.path < known.path);
            report.finding = part.finding.filter(better).or(report.finding.take());
        }
        report.depth += 1;
        report.elapsed = begun.elapsed();
        progress(&Progress {
            depth: report.depth,
            frontier: frontier.len(),
            states: report.states,
            steps: report.steps,
            elapsed: report.elapsed,
        });
    }
    report.closed = frontier.is_empty() && report.finding.is_none();
    report.elapsed = begun.elapsed();
    report
}

fn is_new(seen: &[Mutex<Seen>], state: &State) -> bool {
    let digest = state.digest();
    let shard = (digest >> 64) as usize % SHARDS;
    let Some(Ok(mut shard)) = seen.get(shard).map(Mutex::lock) else { return false };
    shard.insert(digest)
}

/// Takes states from `work` and makes those that follow.
fn expand(setup: &Setup, work: &Mutex<std::vec::IntoIter<State>>, seen: &[Mutex<Seen>]) -> Part {
    let mut part = Part::default();
    loop {
        let batch: Vec<State> = match work.lock() {
            Ok(mut work) => work.by_ref().take(BATCH).collect(),
            Err(_) => Vec::new(),
        };
        if batch.is_empty() {
            return part;
        }
        for state in batch {
            if let Err(what) = follow(setup, &state, seen, &mut part) {
                let better = part.finding.as_ref().is_none_or(|known| what.path < known.path);
                part.finding = if better { Some(what) } else { part.finding };
            }
        }
    }
}

fn follow(setup: &Setup, state: &State, seen: &[Mutex<Seen>], part: &mut Part) -> Result<(), Finding> {
    let found = |what, path: &[Action]| Finding { what, path: path.to_vec() };
    if state.is_at_peace(setup) {
        part.peaceful += 1;
        state.clone().must_be_over(setup).map_err(|what| found(what, &state.path))?;
    }
    for action in Action::ALL.into_iter().filter(|action| state.allows(*action, setup)) {
        let mut next = state.clone();
        part.steps += 1;
        next.act(action, setup).map_err(|what| found(what, &next.path))?;
        if is_new(seen, &next) {
            part.fresh += 1;
            part.next.push(next);
        }
    }
    Ok(())
}

/// States to be looked at, the last one first.
struct Stack {
    states: Vec<State>,
    /// Threads that may still add some.
    busy: usize,
    known: u64,
    stop: bool,
}

/// The same, depth first: of the states only those beside the way are kept, so that memory is what the digests need. What
/// it finds is not on the shortest way.
pub fn explore_deep(setup: &Setup, most: u64, threads: usize, mut progress: impl FnMut(&Progress)) -> Report {
    let begun = Instant::now();
    let seen: Vec<Mutex<Seen>> = (0..SHARDS).map(|_| Mutex::default()).collect();
    let mut part = Part::default();
    match State::first(setup) {
        Ok(state) => {
            part.fresh += u64::from(is_new(&seen, &state));
            part.next.push(state);
        }
        Err(what) => part.finding = Some(Finding { what, path: Vec::new() }),
    }
    let stack = Stack { states: core::mem::take(&mut part.next), busy: 0, known: part.fresh, stop: false };
    let stack = Mutex::new(stack);
    let mut told = 0;
    let mut tell = |known: u64, deepest: usize, frontier: usize, steps: u64| {
        if known >= told + TELL {
            told = known;
            progress(&Progress { depth: deepest, frontier, states: known, steps, elapsed: begun.elapsed() });
        }
    };
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| descend(setup, most, &stack, &seen, &mut |_, _, _, _| ())))
            .collect();
        let mut parts = vec![part, descend(setup, most, &stack, &seen, &mut tell)];
        parts.extend(others.into_iter().map(|thread| thread.join().unwrap_or_default()));
        parts
    });
    let mut report = Report {
        states: parts.iter().map(|part| part.fresh).sum(),
        steps: parts.iter().map(|part| part.steps).sum(),
        peaceful: parts.iter().map(|part| part.peaceful).sum(),
        depth: parts.iter().map(|part| part.depth).max().unwrap_or(0),
        closed: false,
        elapsed: begun.elapsed(),
        finding: parts.into_iter().filter_map(|part| part.finding).min_by_key(|found| found.path.len()),
    };
    report.closed = report.finding.is_none() && stack.into_inner().is_ok_and(|stack| stack.states.is_empty());
    report
}

/// Takes the last state and puts those that follow in its place, until there are none.
fn descend(
    setup: &Setup,
    most: u64,
    stack: &Mutex<Stack>,
    seen: &[Mutex<Seen>],
    tell: &mut dyn FnMut(u64, usize, usize, u64),
) -> Part {
    let mut part = Part::default();
    loop {
        let Ok(mut shared) = stack.lock() else { return part };
        if shared.stop || (shared.states.is_empty() && shared.busy == 0) {
            return part;
        }
        let Some(state) = shared.states.pop() else {
            drop(shared);
            std::thread::yield_now();
            continue;
        };
        shared.busy += 1;
        drop(shared);
        let before = part.fresh;
        part.depth = part.depth.max(state.path.len());
        let found = follow(setup, &state, seen, &mut part);
        let Ok(mut shared) = stack.lock() else { return part };
        shared.busy -= 1;
        shared.known += part.fresh - before;
        shared.states.append(&mut part.next);
        shared.stop |= found.is_err() || shared.known >= most;
        let (known, frontier) = (shared.known, shared.states.len());
        drop(shared);
        part.finding = found.err().or(part.finding);
        tell(known, part.depth, frontier, part.steps);
    }
}

/// Goes one way again and tells what happens on it, packet by packet; the last line is what is wrong.
pub fn replay(setup: &Setup, path: &[Action]) -> Vec<String> {
    let mut state = match State::first(setup) {
        Ok(state) => state,
        Err(what) => return vec![what],
    };
    state.story = Some(Vec::new());
    let mut verdict = Ok(());
    for action in path {
        if verdict.is_ok() {
            verdict = state.act(*action, setup);
        }
    }
    if verdict.is_ok() && state.is_at_peace(setup) {
        verdict = state.must_be_over(setup);
    }
    let mut story = state.story.unwrap_or_default();
    story.extend(verdict.err());
    story
}
