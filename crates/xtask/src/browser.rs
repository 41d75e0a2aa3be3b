//! The browser that tests run in: Chromium or Chrome, started by its chromedriver.

use std::env;
use std::ffi::OsString;

use crate::apt;
use crate::error::Result;
use crate::process::{program, succeeds};

/// Chromedriver: where `CHROMEDRIVER` says, on the path, or installed with its browser.
pub fn ensure_chromedriver() -> Result<OsString> {
    let named = env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
    if !succeeds(program(&named).arg("--version")) {
        let remedy = "install Chrome or Chromium with the chromedriver of the same version \
                      (https://googlechromelabs.github.io/chrome-for-testing), and put it on the path or in CHROMEDRIVER";
        apt::install("chromedriver", &["chromium", "chromium-driver"], remedy)?;
    }
    Ok(named)
}
