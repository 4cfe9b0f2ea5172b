//! Names of entries, which old programs write in other alphabets than UTF-8.

use std::borrow::Cow;

use super::records::{Record, extra_field};

/// Tag of the extra field with the name in UTF-8.
const UNICODE_PATH: u16 = 0x7075;
/// The upper half of code page 437, the alphabet of archives that say nothing.
const CODE_PAGE_437: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
    áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
/// Letters of each alphabet's lower half.
const ASCII: u8 = 128;

impl<'a> Record<'a> {
    /// The path as text. Different paths stay different, whatever their alphabet.
    pub(super) fn name(&self) -> Cow<'a, str> {
        if let Some(name) = self.unicode_path() {
            return name.into();
        }
        match std::str::from_utf8(self.path) {
            Ok(path) => path.into(),
            Err(_) => letters(self.path).into(),
        }
    }

    /// The field is about the name in front of it, if its checksum is that name's.
    fn unicode_path(&self) -> Option<&'a str> {
        const VERSION: u8 = 1;
        let mut field = extra_field(self.extra, UNICODE_PATH);
        let [version] = field.array().ok()?;
        let checksum = field.u32().ok()?;
        (version == VERSION && checksum == crc32fast::hash(self.path)).then_some(())?;
        std::str::from_utf8(field.0).ok()
    }
}

/// In alphabets of two bytes a letter, the second one may look like a backslash.
fn letters(path: &[u8]) -> String {
    const WIDE_BACKSLASH: char = '\u{ff3c}';
    let before = [0].iter().chain(path);
    let pairs = before.zip(path).map(|(&before, &byte)| match (before, byte) {
        (ASCII.., b'\\') => WIDE_BACKSLASH,
        _ => letter(byte),
    });
    pairs.collect()
}

fn letter(byte: u8) -> char {
    let upper = byte
        .checked_sub(ASCII)
        .and_then(|place| CODE_PAGE_437.chars().nth(place.into()));
    upper.unwrap_or(char::from(byte))
}
