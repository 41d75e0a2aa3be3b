//! Files as memory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use inkling_core::train::shards::ShardBytes;
use memmap2::Mmap;

/// A file's bytes, read by the system when they are looked at, and forgotten when memory is short.
pub fn map(path: &Path) -> io::Result<ShardBytes> {
    let file = File::open(path)?;
    // SAFETY: The mapping is shared and read only, and Rust asks that nobody changes bytes behind a `&[u8]`, which no operating system can
    // promise for a file. We never do: a prepared folder is written under another name, renamed, and never written again; replacing or
    // deleting it leaves a mapping with the file that it had. Where another program writes into the file nevertheless, nothing relies on
    // two looks at a byte agreeing: core copies tokens out of it, and checks the copy against the vocabulary before it is used as an
    // index (a changed token that passes is another token, no more). Where another program cuts the file short, the system ends this
    // process (SIGBUS) at the first look past its end; a run goes on from its last save.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Arc::new(map))
}
