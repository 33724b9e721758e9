//! Names of files and folders: their order, what is no part of a data set, and names that are not
//! UTF-8 as text.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

/// What systems and programs leave in folders, in lower case; and all names that begin with a dot.
const NOISE: [&str; 9] = [
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
];

/// Whether a system made this file or folder, not a person.
pub(super) fn is_noise(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || NOISE.iter().any(|noise| name.eq_ignore_ascii_case(noise.as_bytes()))
}

/// Orders names as people do: runs of digits by the number they write, all else by bytes. So
/// `2` comes before `10`, and only equal names are equal.
pub(in crate::data) fn natural_order(left: &[u8], right: &[u8]) -> Ordering {
    let (mut a, mut b) = (left, right);
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, other) = (take_number(&mut a), take_number(&mut b));
            number.len().cmp(&other.len()).then(number.cmp(other))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(&y)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// Cuts the digits that `text` begins with off it; what is returned lacks leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().take_while(|&&digit| digit == b'0').count()..]
}

/// Orders paths of one folder by their names, as people do.
pub(super) fn by_name(left: &Path, right: &Path) -> Ordering {
    natural_order(left.as_os_str().as_encoded_bytes(), right.as_os_str().as_encoded_bytes())
}

/// The class that a folder or a label names: one text for names that look alike, whether their
/// accents are composed (as Linux and Windows write them) or not (as macOS does).
pub(super) fn class_name(name: &OsStr) -> String {
    name.to_str().map_or_else(|| path_text(Path::new(name)), |name| name.nfc().collect())
}

/// `path` as text from which it can be found again: as it is where it is UTF-8, and otherwise with
/// `%` and two capital hexadecimal digits for each byte that is not.
///
/// A `%` that stands before two such digits is written `%25`. So the inverse is to replace every
/// `%XX` by the byte, and nothing else: [`path_of_text`].
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        let valid = chunk.valid();
        for (at, character) in valid.char_indices() {
            let is_escape = character == '%' && is_hexadecimal_pair(&valid.as_bytes()[at + 1..]);
            if is_escape {
                text.push_str("%25");
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The path that [`path_text`] wrote as `text`; `None` for any other text, such as
/// `my%20photo.jpg`, which names a file by itself.
pub fn path_of_text(text: &str) -> Option<PathBuf> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = match behind {
            [high, low, ..] if first == b'%' => byte_of(*high, *low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    path_of_bytes(&bytes).filter(|path| path_text(path) == text)
}

/// The byte that two capital hexadecimal digits write.
fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digits = [high, low];
    let text = std::str::from_utf8(&digits).ok().filter(|_| is_hexadecimal_pair(&digits))?;
    u8::from_str_radix(text, 16).ok()
}

/// A path as the bytes that a system gives, where paths are bytes there.
#[cfg(unix)]
pub(super) fn path_of_bytes(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
pub(super) fn path_of_bytes(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

fn is_hexadecimal_pair(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    text.len() >= 2 && text[..2].iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["b2", "b10", "10", "b02", "9", "b", "b2x", "09", "a", "b2a1", "b2a01", ""];
        names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
        let expected = ["", "09", "9", "10", "a", "b", "b02", "b2", "b2a01", "b2a1", "b2x", "b10"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_number_longer_than_any_integer_has_its_place() {
        let (nines, one) = ("9".repeat(50), "1".repeat(51));
        assert_eq!(natural_order(nines.as_bytes(), one.as_bytes()), Ordering::Less);
    }

    #[test]
    fn accents_are_one_name_composed_or_not() {
        assert_eq!(class_name(OsStr::new("cafe\u{301}")), class_name(OsStr::new("caf\u{e9}")));
        assert_ne!(class_name(OsStr::new("cafe")), class_name(OsStr::new("caf\u{e9}")));
    }

    #[test]
    fn what_systems_leave_behind_is_noise_and_similar_names_are_not() {
        for name in [".DS_Store", "._000.jpg", "Thumbs.db", "desktop.ini", "__MACOSX"] {
            assert!(is_noise(OsStr::new(name)), "{name}");
        }
        for name in ["thumbs", "db", "_1.png", "icon"] {
            assert!(!is_noise(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_percent_sign_is_escaped_only_where_it_would_be_taken_for_an_escape() {
        for (path, text) in [("a/100%.png", "a/100%.png"), ("%4g", "%4g"), ("%41", "%2541")] {
            assert_eq!(path_text(Path::new(path)), text);
            assert_eq!(path_of_text(text), Some(PathBuf::from(path)));
        }
    }

    #[test]
    fn what_no_path_is_written_as_is_no_path() {
        // Spaces and UTF-8 as the web writes them.
        for text in ["my%20photo.jpg", "caf%C3%A9.jpg", "%41", "%25"] {
            assert_eq!(path_of_text(text), None, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_in_latin_1_is_written_so_that_it_can_be_found() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(OsStr::from_bytes(b"cat/Mu\xf1oz_%\xe9t\xe9.png"));
        assert_eq!(path_text(path), "cat/Mu%F1oz_%%E9t%E9.png");
        assert_eq!(path_of_text("cat/Mu%F1oz_%%E9t%E9.png").as_deref(), Some(path));
    }
}
