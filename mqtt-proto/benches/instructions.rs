//! Times and instructions of the codec, without a framework between.
//!
//! `cargo bench -p mqtt-proto --bench instructions` prints nanoseconds: all cases in turn, many rounds, best and
//! median. `-- CASE N` runs one case N times and prints nothing, for counting instructions under callgrind;
//! `scripts/instructions.sh` does that for all of them.

mod cases;

use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut cases = cases::all();
    match &arguments[..] {
        [argument] if argument == "--list" => cases.iter().for_each(|(name, _)| println!("{name}")),
        [case, times] => {
            let (_, run) = &mut cases[case.parse::<usize>().expect("the number of a case")];
            for _ in 0..times.parse().expect("a number of times") {
                run();
            }
        }
        _ => time(&mut cases),
    }
}

/// Interleaved, so that a change of the machine's speed meets every case.
fn time(cases: &mut [cases::Case]) {
    const ROUNDS: usize = 101;
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((name, run), times) in cases.iter_mut().zip(&mut times) {
            let turns = if name.contains("stream") { 100_u32 } else { 10_000 };
            let begin = Instant::now();
            for _ in 0..turns {
                run();
            }
            let packets = if name.contains("stream") { turns * 100 } else { turns };
            times.push(begin.elapsed().as_nanos() as f64 / f64::from(packets));
        }
    }
    println!("{:<45} {:>8} {:>8}", "ns a packet", "best", "median");
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:<45} {:>8.1} {:>8.1}", times[0], times[ROUNDS / 2]);
    }
}
