//! What the headers of a Parquet file claim, before anybody believes it: the reader makes room for
//! whatever a page says that it becomes, and calls itself for each level of columns in columns.
//!
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>, in
//! Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

/// Structures and lists within each other that are passed over at most. Of those of the format, the
/// statistics of a column have most, eight.
const DEPTH: usize = 32;

const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// How deep columns lie within columns by the metadata at the end of a file: 1 where there are
/// numbers only. `None` where it cannot be read.
pub(super) fn schema_depth(file: &[u8]) -> Option<usize> {
    let (file, footer) = file.split_at_checked(file.len().checked_sub(8)?)?;
    let len = u32::from_le_bytes(*footer.first_chunk()?) as usize;
    let mut metadata = &file[file.len().checked_sub(len)?..];
    let (mut deepest, mut id) = (None, 0);
    while let Some(kind) = field(&mut metadata, &mut id)? {
        match (id, kind) {
            (2, LIST) => deepest = deepest.max(Some(depth_of_elements(&mut metadata)?)),
            _ => skip(&mut metadata, kind, DEPTH)?,
        }
    }
    deepest
}

/// Of the elements of a schema, which come depth first, each with the number of its children.
fn depth_of_elements(bytes: &mut &[u8]) -> Option<usize> {
    let (len, kind) = list(bytes)?;
    let mut missing: Vec<i64> = Vec::new();
    let mut deepest = 0;
    for _ in 0..len {
        while missing.pop_if(|children| *children == 0).is_some() {}
        deepest = deepest.max(missing.len());
        missing.last_mut().into_iter().for_each(|children| *children -= 1);
        if kind != STRUCT {
            return None;
        }
        let (mut id, mut children) = (0, 0);
        while let Some(kind) = field(bytes, &mut id)? {
            match (id, kind) {
                (5, I32) => children = integer(bytes)?,
                _ => skip(bytes, kind, DEPTH)?,
            }
        }
        if children > 0 {
            missing.push(children);
        }
    }
    Some(deepest)
}

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

/// How many elements a list has, and of which type.
fn list(bytes: &mut &[u8]) -> Option<(u64, u8)> {
    let head = byte(bytes)?;
    let len = if head >> 4 == 15 { varint(bytes)? } else { u64::from(head >> 4) };
    Some((len, head & 0xf))
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
        LIST | 10 => {
            let (len, kind) = list(bytes)?;
            for _ in 0..len {
                element(bytes, kind, depth)?;
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
        STRUCT => {
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

    /// A schema with an element for each of these numbers of children, behind the format's version.
    fn file(children: &[u8]) -> Vec<u8> {
        let element = |children: &u8| [0x48, 1, b'x', 0x15, children * 2, 0];
        let list = [0x15, 4, 0x19, 0xfc, u8::try_from(children.len()).unwrap()];
        let elements: Vec<[u8; 6]> = children.iter().map(element).collect();
        let metadata = [&list[..], elements.as_flattened(), &[0]].concat();
        let len = u32::try_from(metadata.len()).unwrap().to_le_bytes();
        [&b"PAR1"[..], &metadata, &len, b"PAR1"].concat()
    }

    #[test]
    fn the_depth_of_columns_in_columns_is_found() {
        assert_eq!(schema_depth(&file(&[2, 0, 0])), Some(1));
        // Two columns, of which the second is a list of numbers.
        assert_eq!(schema_depth(&file(&[2, 0, 1, 1, 0])), Some(3));
        assert_eq!(schema_depth(&file(&[3, 1, 0, 2, 0, 0, 0])), Some(2));
        assert_eq!(schema_depth(&file(&[1; 100])), Some(99));
        let whole = file(&[2, 0, 0]);
        assert_eq!(schema_depth(&whole[..whole.len() - 1]), None);
        assert_eq!(schema_depth(b"PAR1"), None);
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
