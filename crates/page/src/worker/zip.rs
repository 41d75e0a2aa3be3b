//! Zip archives: written without compression (weights do not get smaller by it), read with it too, since other programs write it.
//!
//! ```text
//! for each file   local header (30 bytes), name, content
//! for each file   central header (46 bytes), name
//! end record (22 bytes)
//! ```
//!
//! PKWARE's APPNOTE 6.3.10, §4.3. Sizes up to 4 GiB, which is more than a tab holds.

use super::inflate::inflate;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// Names are UTF-8.
const FLAGS: u16 = 1 << 11;

/// The first of January 1980: the same files give the same archive.
const DATE: u16 = 1 << 5 | 1;

/// An archive of these files.
pub fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let content: usize = files.iter().map(|(name, bytes)| bytes.len() + 2 * name.len() + 76).sum();
    let mut archive = Vec::with_capacity(content + 22);
    let mut directory = Vec::new();
    for (name, bytes) in files {
        let offset = archive.len() as u32;
        let size = (bytes.len() as u32).to_le_bytes();
        // Version 2.0, no compression, no time.
        let mut common = Vec::new();
        [20, FLAGS, 0, 0, DATE].iter().for_each(|field| common.extend(u16::to_le_bytes(*field)));
        common.extend(crc32(bytes).to_le_bytes());
        common.extend([size, size].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        archive.extend(LOCAL.to_le_bytes());
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(bytes);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend([20, 0]);
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (offset, size, count) = (archive.len() as u32, directory.len() as u32, (files.len() as u16).to_le_bytes());
    archive.extend(directory);
    archive.extend(END.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend([count, count].concat());
    archive.extend(size.to_le_bytes());
    archive.extend(offset.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

/// The files of an archive, as its directory lists them. Nothing is trusted: every position is checked.
///
/// # Errors
/// What is damaged, encrypted or compressed in an unusual way.
pub fn unpack(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
    const DAMAGED: &str = "the archive is damaged.";
    let word = |at: usize| Some(u16::from_le_bytes(archive.get(at..at.checked_add(2)?)?.try_into().ok()?) as usize);
    let long = |at: usize| Some(u32::from_le_bytes(archive.get(at..at.checked_add(4)?)?.try_into().ok()?));
    // A comment of up to 64 KiB may follow the end record.
    let first = archive.len().saturating_sub(22 + 0xffff);
    let end = (first..archive.len().saturating_sub(21)).rev().find(|&at| long(at) == Some(END));
    let end = end.ok_or("this is no zip archive.")?;
    let (count, mut at) = (word(end + 10).ok_or(DAMAGED)?, long(end + 16).ok_or(DAMAGED)? as usize);
    let mut files = Vec::new();
    for _ in 0..count {
        let entry = || {
            (long(at)? == CENTRAL).then_some(())?;
            let (flags, method, crc) = (word(at + 8)?, word(at + 10)?, long(at + 16)?);
            let (packed, size) = (long(at + 20)? as usize, long(at + 24)? as usize);
            let (name, extra, comment) = (word(at + 28)?, word(at + 30)?, word(at + 32)?);
            let local = long(at + 42)? as usize;
            let next = at + 46 + name + extra + comment;
            let path = std::str::from_utf8(archive.get(at + 46..at + 46 + name)?).ok()?;
            let content =
                local.checked_add(30)?.checked_add(word(local.checked_add(26)?)? + word(local.checked_add(28)?)?)?;
            let method = if flags & 1 == 0 && (method != 0 || packed == size) { method } else { usize::MAX };
            Some((method, crc, packed, size, path, content, next))
        };
        let (method, crc, packed, size, path, content, next) = entry().ok_or(DAMAGED)?;
        at = next;
        if path.ends_with('/') {
            continue;
        }
        let bytes = content.checked_add(packed).and_then(|end| archive.get(content..end)).ok_or(DAMAGED)?;
        let bytes = match method {
            0 => bytes.to_vec(),
            8 => inflate(bytes, size).ok_or(DAMAGED)?,
            _ => {
                return Err(
                    "the archive is encrypted, or compressed in a way that is not read here: unpack it, and open the folder in it.",
                );
            }
        };
        if crc32(&bytes) != crc {
            return Err(DAMAGED);
        }
        files.push((path.to_owned(), bytes));
    }
    Ok(files)
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

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        assert_eq!(unpack(&pack(&files())).unwrap(), files());
        assert_eq!(unpack(&pack(&[])).unwrap(), []);
    }

    #[test]
    fn other_programs_read_it() {
        let path = std::env::temp_dir().join(format!("inkling-zip-{}.zip", std::process::id()));
        std::fs::write(&path, pack(&files())).unwrap();
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
        let files = unpack(&archive).unwrap();
        assert!(archive.len() < 1000 && files.len() == 2);
        assert_eq!(files[0], ("run/last/a.txt".to_owned(), "abc".repeat(1000).into_bytes()));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = pack(&files());
        assert!(unpack(b"").is_err());
        assert!(unpack(&[0; 64]).is_err());
        for cut in 0..whole.len() {
            assert!(unpack(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            // Dates and versions are not looked at; whatever is given back is whole.
            if let Ok(unpacked) = unpack(&changed) {
                assert!(unpacked.iter().all(|(_, bytes)| files().iter().any(|(_, file)| file == bytes)), "byte {at}");
            }
        }
    }
}
