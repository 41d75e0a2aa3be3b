//! Whatever a folder holds, loading it neither panics nor allocates out of proportion; what loads can be saved, and the
//! save loads as the same.
//!
//! ```text
//! cd crates/core/fuzz
//! cargo run --example seeds                # valid folders to start from, into corpus/checkpoint
//! cargo +nightly fuzz run checkpoint -- -max_len=16384 -rss_limit_mb=1024
//! ```

#![no_main]

use std::collections::BTreeMap;

use inkling_core::checkpoint::Checkpoint;
use inkling_fuzz::{FILES, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = split(bytes);
    let read = |name: &str| {
        let at = FILES.iter().position(|file| *file == name);
        Ok(at.map(|at| files[at].to_vec()).filter(|file| !file.is_empty()))
    };
    let Ok(loaded) = Checkpoint::from_files(read) else { return };
    let saved: BTreeMap<String, Vec<u8>> =
        loaded.to_files().expect("what was loaded can be saved").into_iter().collect();
    let again = Checkpoint::from_files(|name| Ok(saved.get(name).cloned())).expect("what was saved can be loaded");
    assert_eq!(again, loaded);
});
