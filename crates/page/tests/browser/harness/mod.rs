//! What the tests are written in: a browser of one's own ([`Page`]) on a server of one's own ([`Server`]), so that a test reads as a claim.
//!
//! Waits are on conditions, never on clocks. A test that ends with an unexpected message on the console fails, and a test that fails leaves
//! a picture, the console and the document in `target/page-failures/`.

mod chromedriver;
mod input;
mod page;
mod server;
mod setup;
mod turns;

use std::env;
use std::path::{Path, PathBuf};

pub use page::Page;
pub use server::{Fault, Server};
pub use setup::{Setup, Theme};

/// The workspace's root.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("crates/page lies two levels below the root")
}

/// The built page: the folder that the variable names, from the root, or what `trunk build` writes.
pub fn dist() -> PathBuf {
    let folder = root().join(env::var_os("INKLING_DIST").unwrap_or_else(|| "target/dist".into()));
    let index = folder.join("index.html");
    assert!(
        index.is_file(),
        "{} is missing: build the page first, or name its folder in INKLING_DIST",
        index.display()
    );
    folder
}
