//! Zip archives: written without compression, since weights do not get smaller by it; [`contents`] reads what other programs compress, too.
//!
//! ```text
//! for each file   local header (30 bytes), name, content
//! for each file   central header (46 bytes), name
//! end record (22 bytes)
//! ```
//!
//! PKWARE's APPNOTE 6.3.10, §4.3. Sizes up to 4 GiB, which is more than a tab holds.

use std::collections::BTreeSet;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// The first of January 1980: the same files give the same archive.
const DATE: u16 = 1 << 5 | 1;

/// An archive of these files; each is dropped when it is in. `None` where there is no memory for it.
pub fn pack(files: Vec<(String, Vec<u8>)>) -> Option<Vec<u8>> {
    let content: usize = files.iter().map(|(name, bytes)| bytes.len() + 2 * name.len() + 76).sum();
    let count = (files.len() as u16).to_le_bytes();
    let mut archive = Vec::new();
    archive.try_reserve_exact(content + 22).ok()?;
    let mut directory = Vec::new();
    for (name, bytes) in files {
        let offset = archive.len() as u32;
        let size = (bytes.len() as u32).to_le_bytes();
        // Version 2.0, no compression, no time.
        let mut common = Vec::new();
        [20, FLAGS, 0, 0, DATE].iter().for_each(|field| common.extend(u16::to_le_bytes(*field)));
        common.extend(crc32(&bytes).to_le_bytes());
        common.extend([size, size].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        archive.extend(LOCAL.to_le_bytes());
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(&bytes);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend([20, 0]);
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (offset, size) = (archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(END.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend([count, count].concat());
    archive.extend(size.to_le_bytes());
    archive.extend(offset.to_le_bytes());
    archive.extend([0; 2]);
    Some(archive)
}

/// A file in an archive.
struct Entry<'a> {
    path: &'a str,
    /// Where it is, as it is.
    content: Range<usize>,
    /// 0 is stored, 8 deflated.
    method: usize,
    size: usize,
    crc: u32,
}

const DAMAGED: &str = "the archive is damaged.";

/// The files of an archive, as its directory lists them. Nothing is trusted: every position is checked, and no byte is two files', so that all of
/// them together are no more than the archive.
fn entries(archive: &[u8]) -> Result<Vec<Entry<'_>>, &'static str> {
    let word = |at: usize| Some(u16::from_le_bytes(archive.get(at..at.checked_add(2)?)?.try_into().ok()?) as usize);
    let long = |at: usize| Some(u32::from_le_bytes(archive.get(at..at.checked_add(4)?)?.try_into().ok()?));
    // A comment of up to 64 KiB may follow the end record.
    let first = archive.len().saturating_sub(22 + 0xffff);
    let end = (first..archive.len().saturating_sub(21)).rev().find(|&at| long(at) == Some(END));
    let end = end.ok_or("this is no zip archive.")?;
    let (count, directory) = (word(end + 10).ok_or(DAMAGED)?, long(end + 16).ok_or(DAMAGED)? as usize);
    let mut at = directory;
    let mut files = Vec::new();
    // From each local header to the end of the content.
    let mut taken = Vec::new();
    let mut paths = BTreeSet::new();
    for _ in 0..count {
        let entry = || {
            (long(at)? == CENTRAL).then_some(())?;
            let (flags, method, crc) = (word(at + 8)?, word(at + 10)?, long(at + 16)?);
            let (packed, size) = (long(at + 20)? as usize, long(at + 24)? as usize);
            let (name, extra, comment) = (word(at + 28)?, word(at + 30)?, word(at + 32)?);
            let local = long(at + 42)? as usize;
            let next = at + 46 + name + extra + comment;
            let path = std::str::from_utf8(archive.get(at + 46..at + 46 + name)?).ok()?;
            (long(local)? == LOCAL && next <= end).then_some(())?;
            let content = local + 30 + word(local + 26)? + word(local + 28)?;
            let content = content..content.checked_add(packed)?;
            (content.end <= directory).then_some(())?;
            let method = if flags & 1 == 0 && (method != 0 || packed == size) { method } else { usize::MAX };
            Some((Entry { path, content, method, size, crc }, local, next))
        };
        let (entry, local, next) = entry().ok_or(DAMAGED)?;
        at = next;
        taken.push((local, entry.content.end));
        if !paths.insert(entry.path) {
            return Err("the archive has two files of one name.");
        }
        if !entry.path.ends_with('/') {
            files.push(entry);
        }
    }
    taken.sort_unstable();
    if taken.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(DAMAGED);
    }
    Ok(files)
}

/// Where in an archive its files are.
///
/// # Errors
/// What is damaged, or compressed.
pub fn unpack(archive: &[u8]) -> Result<Vec<(String, Range<usize>)>, &'static str> {
    let entries = entries(archive)?;
    if entries.iter().any(|entry| entry.method != 0) {
        return Err("the archive is compressed: unpack it, and open the folder in it.");
    }
    // Only now: each byte is looked at once.
    let whole = |Entry { path, content, crc, .. }: Entry| {
        (crc32(&archive[content.clone()]) == crc).then(|| (path.to_owned(), content))
    };
    entries.into_iter().map(whole).collect::<Option<_>>().ok_or(DAMAGED)
}

/// Unpacks DEFLATE (RFC 1951) of exactly so many bytes.
fn inflate(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(packed, size).ok()?;
    (bytes.len() == size).then_some(bytes)
}

/// The files of an archive, which may be compressed as most programs do it (DEFLATE), up to `most` bytes in all.
///
/// # Errors
/// What is damaged, too large, encrypted or compressed in another way.
pub fn contents(archive: &[u8], most: usize) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
    let entries = entries(archive)?;
    if entries.iter().fold(0, |sum: usize, entry| sum.saturating_add(entry.size)) > most {
        return Err("the archive has more in it than there is room for in this tab.");
    }
    let file = |Entry { path, content, method, size, crc }: Entry| {
        let packed = &archive[content];
        let bytes = match method {
            0 => packed.to_vec(),
            8 => inflate(packed, size).ok_or(DAMAGED)?,
            _ => {
                return Err(
                    "the archive is encrypted, or compressed in a way that is not read here: unpack it, and open the folder in it.",
                );
            }
        };
        if crc32(&bytes) == crc { Ok((path.to_owned(), bytes)) } else { Err(DAMAGED) }
    };
    entries.into_iter().map(file).collect()
}

/// A checksum of an archive's directory, in which the checksums of its files are: it stands for all of them. Of one that [`pack`] made, without a
/// comment behind it.
pub fn seal(archive: &[u8]) -> Option<u32> {
    let end = archive.len().checked_sub(22)?;
    let offset = u32::from_le_bytes(archive[end + 16..end + 20].try_into().ok()?) as usize;
    archive.get(offset..).map(crc32)
}

/// CRC-32 of ISO 3309, as in zip and PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<(String, Vec<u8>)> {
        vec![("config.json".into(), b"{}".to_vec()), ("ü/empty".into(), vec![]), ("w".into(), (0..=255).collect())]
    }

    fn unpacked(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
        let files = unpack(archive)?;
        Ok(files.into_iter().map(|(name, content)| (name, archive[content].to_vec())).collect())
    }

    /// Where the directory is, and where its last entry.
    fn directory(archive: &[u8]) -> (usize, usize) {
        let offset = archive.len() - 6;
        let start = u32::from_le_bytes(archive[offset..offset + 4].try_into().unwrap()) as usize;
        let last = archive.windows(4).rposition(|window| window == CENTRAL.to_le_bytes()).unwrap();
        (start, last)
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        assert_eq!(unpacked(&pack(files()).unwrap()).unwrap(), files());
        assert_eq!(unpacked(&pack(vec![]).unwrap()).unwrap(), []);
    }

    #[test]
    fn what_is_compressed_has_the_size_that_was_said_or_is_not_believed() {
        for bytes in [&include_bytes!("../../../../README.md")[..], &[7; 100_000], b"x", b""] {
            let packed = miniz_oxide::deflate::compress_to_vec(bytes, 6);
            assert_eq!(inflate(&packed, bytes.len()).as_deref(), Some(bytes));
            assert_eq!(inflate(&packed, bytes.len() + 1), None);
            assert_eq!(inflate(&packed, bytes.len().wrapping_sub(1)), None);
            for cut in (0..packed.len()).step_by(packed.len() / 50 + 1) {
                assert_eq!(inflate(&packed[..cut], bytes.len()), None);
            }
        }
    }

    #[test]
    fn other_programs_read_it() {
        let path = std::env::temp_dir().join(format!("inkling-zip-{}.zip", std::process::id()));
        std::fs::write(&path, pack(files()).unwrap()).unwrap();
        let python = std::process::Command::new("python3").args(["-m", "zipfile", "-t"]).arg(&path).output();
        std::fs::remove_file(&path).unwrap();
        // Where there is no Python, the other tests have to do.
        if let Ok(output) = python {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn what_other_programs_compress_is_read() {
        let path = std::env::temp_dir().join(format!("inkling-packed-{}.zip", std::process::id()));
        let program = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED); \
                       z.writestr('run/last/a.txt', 'abc' * 1000); z.writestr('run/b', ''); z.close()";
        let python = std::process::Command::new("python3").args(["-c", program]).arg(&path).status();
        let archive = std::fs::read(&path);
        let _ = std::fs::remove_file(&path);
        let (Ok(_), Ok(archive)) = (python, archive) else { return };
        assert!(unpack(&archive).unwrap_err().contains("compressed"));
        assert!(contents(&archive, 2999).unwrap_err().contains("room"));
        let files = contents(&archive, 3000).unwrap();
        assert!(archive.len() < 1000 && files.len() == 2);
        assert_eq!(files[0], ("run/last/a.txt".to_owned(), "abc".repeat(1000).into_bytes()));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = pack(files()).unwrap();
        assert!(unpack(b"").is_err());
        assert!(unpack(&[0; 64]).is_err());
        for cut in 0..whole.len() {
            assert!(unpack(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            // Dates and versions are not looked at; whatever is given back is whole.
            if let Ok(unpacked) = unpacked(&changed) {
                assert!(unpacked.iter().all(|(_, bytes)| files().iter().any(|(_, file)| file == bytes)), "byte {at}");
            }
        }
    }

    #[test]
    fn files_that_share_bytes_are_refused() {
        // Many entries for one file would be many times the archive.
        let twice = pack(vec![("a".into(), vec![7; 100]), ("b".into(), vec![7; 100])]).unwrap();
        let (_, last) = directory(&twice);
        let mut bomb = twice.clone();
        bomb[last + 42..last + 46].fill(0);
        assert_eq!(unpack(&bomb), Err("the archive is damaged."));
        // One that has another in it.
        let inner = pack(vec![("in".into(), vec![7; 10])]).unwrap();
        let mut outer = pack(vec![("out".into(), inner), ("in".into(), vec![7; 10])]).unwrap();
        let (_, last) = directory(&outer);
        outer[last + 42..last + 46].copy_from_slice(&33u32.to_le_bytes());
        assert_eq!(unpack(&outer), Err("the archive is damaged."));
    }

    #[test]
    fn names_are_there_once() {
        let twice = pack(vec![("a".into(), vec![1]), ("a".into(), vec![2])]).unwrap();
        assert_eq!(unpack(&twice), Err("the archive has two files of one name."));
    }

    #[test]
    fn sizes_and_counts_beyond_the_archive_are_refused() {
        let whole = pack(files()).unwrap();
        let (_, last) = directory(&whole);
        for size in [257, 1 << 20, u32::MAX] {
            let mut changed = whole.clone();
            changed[last + 20..last + 24].copy_from_slice(&size.to_le_bytes());
            changed[last + 24..last + 28].copy_from_slice(&size.to_le_bytes());
            assert!(unpack(&changed).is_err(), "{size}");
        }
        for count in [4, u16::MAX] {
            let mut changed = whole.clone();
            let end = whole.len() - 22;
            changed[end + 10..end + 12].copy_from_slice(&count.to_le_bytes());
            assert!(unpack(&changed).is_err(), "{count}");
        }
    }
}
