//! What the pages of a Parquet file say that they become, before any is decompressed: the reader
//! makes room for whatever a page's header claims.
//!
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>, in
//! Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// Structures within structures that are passed over at most. A page's header has two.
const DEPTH: usize = 8;

/// The largest size that a page of a column has by its header, decompressed. `None` where a header
/// cannot be read.
pub(super) fn largest_page(mut chunk: &[u8]) -> Option<u64> {
    let mut largest = 0;
    while !chunk.is_empty() {
        let (decompressed, compressed) = sizes(&mut chunk)?;
        chunk = chunk.get(usize::try_from(compressed).ok()?..)?;
        largest = largest.max(u64::try_from(decompressed).ok()?);
    }
    Some(largest)
}

/// Sizes of a page, decompressed and compressed, from its header.
fn sizes(bytes: &mut &[u8]) -> Option<(i64, i64)> {
    let (mut decompressed, mut compressed) = (None, None);
    let mut id = 0;
    while let Some(kind) = field(bytes, &mut id)? {
        match (id, kind) {
            (2, I32) => decompressed = Some(integer(bytes)?),
            (3, I32) => compressed = Some(integer(bytes)?),
            _ => skip(bytes, kind, DEPTH)?,
        }
    }
    Some((decompressed?, compressed?))
}

const I32: u8 = 5;

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    bytes.split_off_first().copied()
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << (7 * place);
        if next < 0x80 {
            return Some(value);
        }
    }
    None
}

/// In zigzag encoding.
fn integer(bytes: &mut &[u8]) -> Option<i64> {
    let value = varint(bytes)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// Type of the next field of a structure, whose number goes on from `id`; the inner `None` at the
/// structure's end.
fn field(bytes: &mut &[u8], id: &mut i64) -> Option<Option<u8>> {
    let head = byte(bytes)?;
    if head == 0 {
        return Some(None);
    }
    *id = match head >> 4 {
        0 => integer(bytes)?,
        delta => id.checked_add(delta.into())?,
    };
    Some(Some(head & 0xf))
}

/// Passes over a field's value.
fn skip(bytes: &mut &[u8], kind: u8, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match kind {
        // True and false, which the type itself tells apart.
        1 | 2 => {}
        3 => drop(byte(bytes)?),
        4..=6 => drop(varint(bytes)?),
        7 => drop(bytes.split_off(..8)?),
        8 => {
            let len = usize::try_from(varint(bytes)?).ok()?;
            bytes.split_off(..len)?;
        }
        9 | 10 => {
            let head = byte(bytes)?;
            let len = if head >> 4 == 15 { varint(bytes)? } else { u64::from(head >> 4) };
            for _ in 0..len {
                element(bytes, head & 0xf, depth)?;
            }
        }
        11 => {
            let len = varint(bytes)?;
            let kinds = if len > 0 { byte(bytes)? } else { 0 };
            for _ in 0..len {
                element(bytes, kinds >> 4, depth)?;
                element(bytes, kinds & 0xf, depth)?;
            }
        }
        12 => {
            let mut id = 0;
            while let Some(kind) = field(bytes, &mut id)? {
                skip(bytes, kind, depth)?;
            }
        }
        13 => drop(bytes.split_off(..16)?),
        _ => return None,
    }
    Some(())
}

/// In lists and maps a truth value takes a byte.
fn element(bytes: &mut &[u8], kind: u8, depth: usize) -> Option<()> {
    skip(bytes, if matches!(kind, 1 | 2) { 3 } else { kind }, depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with those sizes, with statistics to be passed over, and its page.
    fn page(decompressed: u8, compressed: u8) -> Vec<u8> {
        let zigzag = |value: u8| value * 2;
        let sizes = [0x15, 0, 0x15, zigzag(decompressed), 0x15, zigzag(compressed)];
        let statistics = [0x2c, 0x18, 2, 7, 7, 0x19, 0x21, 1, 2, 0x1b, 0, 0x11, 0x17];
        let mut page = [&sizes[..], &statistics, &[0; 8], &[0, 0]].concat();
        page.extend(vec![0xff; compressed.into()]);
        page
    }

    #[test]
    fn the_largest_page_is_found() {
        assert_eq!(largest_page(&[page(3, 2), page(60, 1), page(9, 0)].concat()), Some(60));
        assert_eq!(largest_page(&[]), Some(0));
    }

    #[test]
    fn cut_and_wrong_headers_have_no_size() {
        let whole = page(3, 2);
        for len in 1..whole.len() {
            assert_eq!(largest_page(&whole[..len]), None, "{len}");
        }
        // A structure in a structure, and so on for ever; no end of a number; a negative size.
        assert_eq!(largest_page(&[0x1c; 1000]), None);
        assert_eq!(
            largest_page(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            None
        );
        assert_eq!(largest_page(&[0x15, 0, 0x15, 1, 0x15, 0, 0]), None);
    }
}
