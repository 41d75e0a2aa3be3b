//! The drawing of losses: plain arithmetic from what was heard of runs to paths and labels, so that it can be tested without a browser.

pub mod draw;
mod paths;
pub mod scale;
