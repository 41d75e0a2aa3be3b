//! What a program carries that a visitor does not need: the names of its functions. Without them the traces in a browser's console show
//! numbers (a panic still says its place in the source), and each of the two programs is a fifth smaller.

/// A module's first eight bytes: magic number and version.
const HEADER: usize = 8;

/// Sections of this id are of no matter to the program.
const CUSTOM: u8 = 0;

/// The module without its custom sections; `None` if these bytes are none (WebAssembly core specification, 5.5.2 and 5.5.3).
pub fn without_names(module: &[u8]) -> Option<Vec<u8>> {
    let mut kept = module.strip_prefix(b"\0asm\x01\0\0\0").map(|_| module[..HEADER].to_vec())?;
    let mut rest = &module[HEADER..];
    while let Some(&id) = rest.first() {
        let (size, digits) = leb128(&rest[1..])?;
        let end = (1 + digits).checked_add(size)?;
        let section = rest.get(..end)?;
        if id != CUSTOM {
            kept.extend_from_slice(section);
        }
        rest = &rest[end..];
    }
    Some(kept)
}

/// A number and how many bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0_usize;
    for (digits, &byte) in bytes.iter().take(5).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * digits);
        if byte < 0x80 {
            return Some((number, digits + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_go_and_all_others_stay() {
        let type_section = [1, 4, 1, 0x60, 0, 0];
        let mut long = vec![10, 0x80, 1]; // 128 bytes
        long.extend([7; 128]);
        let name = [0, 6, 4, b'n', b'a', b'm', b'e', 0];
        let module = [b"\0asm\x01\0\0\0".as_slice(), &type_section, &name, &long].concat();
        let kept = [b"\0asm\x01\0\0\0".as_slice(), &type_section, &long].concat();
        assert_eq!(without_names(&module), Some(kept.clone()));
        assert_eq!(without_names(&kept), Some(kept));
    }

    #[test]
    fn what_is_no_module_is_refused() {
        for bytes in [
            b"".as_slice(),
            b"\0asm\x02\0\0\0",
            b"\0asm\x01\0\0\0\x01\x04\x01",
            b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(without_names(bytes), None, "{bytes:?}");
        }
    }
}
