//! Times of the codec, and its allocations (there are none). `cargo bench -p mqtt-proto --bench codec`

mod cases;

use divan::{AllocProfiler, Bencher};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = 0..cases::all().len())]
fn case(bencher: Bencher<'_, '_>, number: usize) {
    let mut cases = cases::all();
    let (_, run) = &mut cases[number];
    bencher.bench_local(run);
}
