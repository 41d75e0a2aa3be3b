//! The learner's program: trains, on either engine, beside the worker's.

use inkling_page::worker::{Role, start};

fn main() {
    start(Role::LEARNER);
}
