//! Unpacking DEFLATE (RFC 1951), in which other programs write archives.
//!
//! ```text
//! blocks: 1 bit last, 2 bits kind: 0 stored, 1 fixed codes, 2 codes of its own
//! symbols: 0..=255 a byte, 256 the end of the block, 257..=285 a length, which a distance follows
//! ```
//!
//! Codes are canonical: those of a length are consecutive numbers, so counts per length and symbols in order are all that decoding needs (§3.2.2;
//! Mark Adler's `puff` does it so).

/// Bytes of output; `None` for what is damaged, or has not exactly `size` bytes.
pub fn inflate(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    // What is claimed is believed up to what a thousandfold compression allows: DEFLATE does no better than 1032.
    if size / 1100 > packed.len() {
        return None;
    }
    let mut out = Vec::with_capacity(size);
    let mut bits = Bits { bytes: packed, held: 0, count: 0 };
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut out, size)?,
            1 => codes(&mut bits, &mut out, size, &Code::new(&fixed()), &Code::new(&[5; 30]))?,
            2 => {
                let (literals, distances) = own_codes(&mut bits)?;
                codes(&mut bits, &mut out, size, &literals, &distances)?;
            }
            _ => return None,
        }
        if last {
            return (out.len() == size).then_some(out);
        }
    }
}

/// Bits from the lowest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        while self.count < count {
            let (&first, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            self.held |= u32::from(first) << self.count;
            self.count += 8;
        }
        let taken = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Some(taken)
    }
}

const MOST_BITS: usize = 15;

/// A canonical code.
struct Code {
    /// Codes of each length.
    counts: [u16; MOST_BITS + 1],
    /// By length, and in order within each.
    symbols: Vec<u16>,
}

impl Code {
    /// Of symbols with codes of these lengths; 0 is of one that does not occur.
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; MOST_BITS + 1];
        let mut symbols = Vec::with_capacity(lengths.len());
        for length in 1..=MOST_BITS {
            let of = (0..lengths.len()).filter(|&symbol| usize::from(lengths[symbol]) == length);
            symbols.extend(of.map(|symbol| symbol as u16));
            counts[length] = symbols.len() as u16;
        }
        (1..=MOST_BITS).rev().for_each(|length| counts[length] -= counts[length - 1]);
        Self { counts, symbols }
    }

    fn next(&self, bits: &mut Bits) -> Option<u16> {
        let (mut code, mut first, mut index) = (0_i32, 0_i32, 0_i32);
        for &count in &self.counts[1..] {
            code |= bits.take(1)? as i32;
            let count = i32::from(count);
            if code - count < first {
                return self.symbols.get(usize::try_from(index + code - first).ok()?).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// §3.2.6.
fn fixed() -> [u8; 288] {
    std::array::from_fn(|symbol| match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    })
}

/// §3.2.7: the codes of a block, themselves packed.
fn own_codes(bits: &mut Bits) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances) = (bits.take(5)? as usize + 257, bits.take(5)? as usize + 1);
    let mut lengths = [0; 19];
    for at in &ORDER[..bits.take(4)? as usize + 4] {
        lengths[*at] = bits.take(3)? as u8;
    }
    let packed = Code::new(&lengths);
    let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match packed.next(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.extend((0..times).map(|_| length));
    }
    let (literals, rest) = lengths.split_at(literals);
    (rest.len() == distances).then(|| (Code::new(literals), Code::new(rest)))
}

/// §3.2.4.
fn stored(bits: &mut Bits, out: &mut Vec<u8>, size: usize) -> Option<()> {
    (bits.held, bits.count) = (0, 0);
    let (header, rest) = bits.bytes.split_first_chunk::<4>()?;
    let length = u16::from_le_bytes([header[0], header[1]]);
    if length != !u16::from_le_bytes([header[2], header[3]]) || out.len() + usize::from(length) > size {
        return None;
    }
    out.extend_from_slice(rest.get(..length.into())?);
    bits.bytes = &rest[length.into()..];
    Some(())
}

/// §3.2.5.
fn codes(bits: &mut Bits, out: &mut Vec<u8>, size: usize, literals: &Code, distances: &Code) -> Option<()> {
    const LENGTHS: [u16; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227,
        258,
    ];
    loop {
        match literals.next(bits)? {
            symbol @ 0..256 => out.push(symbol as u8),
            256 => return Some(()),
            symbol => {
                let at = usize::from(symbol) - 257;
                let extra = if (8..28).contains(&at) { at as u32 / 4 - 1 } else { 0 };
                let length = usize::from(*LENGTHS.get(at)?) + bits.take(extra)? as usize;
                let distance = u32::from(distances.next(bits)?);
                let extra = (distance / 2).saturating_sub(1);
                let base = if distance < 4 { distance } else { (2 + distance % 2) << extra };
                let distance = (base + bits.take(extra)? + 1) as usize;
                let start = out.len().checked_sub(distance)?;
                if out.len() + length > size {
                    return None;
                }
                // It may reach into what it writes.
                (start..start + length).for_each(|from| out.push(out[from]));
            }
        }
        if out.len() > size {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_three_kinds_of_blocks_are_read() {
        // "abc" stored; with fixed codes, as zlib writes it.
        assert_eq!(inflate(&[1, 3, 0, 252, 255, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        assert_eq!(inflate(&[0x4b, 0x4c, 0x4a, 0x06, 0x00], 3).unwrap(), b"abc");
        assert_eq!(inflate(&[0x4b, 0x4c, 0x4a, 0x06, 0x00], 2), None);
        assert_eq!(inflate(&[0x4b, 0x4c, 0x4a, 0x06, 0x00], 4), None);
        assert_eq!(inflate(&[], 0), None);
        assert_eq!(inflate(&[7], 0), None);
    }

    /// What Python's zlib makes of some bytes; `None` where there is no Python.
    fn packed(bytes: &[u8], level: u32) -> Option<Vec<u8>> {
        let program = format!(
            "import sys, zlib; c = zlib.compressobj({level}, zlib.DEFLATED, -15); \
             sys.stdout.buffer.write(c.compress(sys.stdin.buffer.read()) + c.flush())"
        );
        let mut child =
            Command::new("python3").args(["-c", &program]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        child.stdin.take()?.write_all(bytes).ok()?;
        Some(child.wait_with_output().ok()?.stdout)
    }

    #[test]
    fn what_zlib_packs_is_unpacked_and_what_is_damaged_is_never_believed() {
        let text = include_bytes!("../../../../README.md");
        let noise: Vec<u8> = (0..70_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for bytes in [&text[..], &noise, &[7; 100_000], b"", b"x"] {
            for level in [0, 1, 6, 9] {
                let Some(packed) = packed(bytes, level) else { return };
                assert!(inflate(&packed, bytes.len()).unwrap() == bytes);
                for cut in (0..packed.len()).step_by(packed.len() / 50 + 1) {
                    assert_eq!(inflate(&packed[..cut], bytes.len()), None);
                    let mut changed = packed.clone();
                    changed[cut] ^= 0x55;
                    // Whatever comes of it is of the size that was said; a checksum finds the rest.
                    assert!(inflate(&changed, bytes.len()).is_none_or(|out| out.len() == bytes.len()));
                }
            }
        }
    }
}
