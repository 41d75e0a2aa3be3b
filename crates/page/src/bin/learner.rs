//! The learner's program: trains, on either engine, beside the worker's.

fn main() {
    inkling_page::worker::start_learner();
}
