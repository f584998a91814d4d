//! Times of the codec, and its allocations: divan prints them where there are any.
//! `cargo bench -p mqtt-proto --bench codec`

mod cases;

use divan::{AllocProfiler, Bencher};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn names() -> Vec<&'static str> {
    cases::all().into_iter().map(|(name, _)| name).collect()
}

#[divan::bench(args = names())]
fn case(bencher: Bencher<'_, '_>, name: &str) {
    let mut cases = cases::all();
    let (_, run) = cases.iter_mut().find(|case| case.0 == name).expect("a case");
    bencher.bench_local(run);
}
