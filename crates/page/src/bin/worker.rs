//! The worker's program: models, on either engine, and nothing on screen.

fn main() {
    inkling_page::worker::start();
}
