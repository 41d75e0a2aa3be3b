//! The worker's program: models, on either engine, and nothing on screen.

use inkling_page::worker::{Role, start};

fn main() {
    start(Role::FIGURES);
}
