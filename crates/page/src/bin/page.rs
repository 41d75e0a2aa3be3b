//! The UI thread's program: everything on screen, no model.

fn main() {
    inkling_page::ui::start();
}
