//! What a JPEG can hold: decoders fill what is missing with grey and do not say so.

const FILL: u8 = 0xff;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// How many bytes of pixels a byte of a file becomes at most. A block of 8x8 numbers takes a bit
/// or more; with colours at a quarter of the resolution, 32x32 pixels of 3 bytes take 16 + 2
/// blocks.
pub(super) const INFLATION: u64 = (32 * 32 * 3_u64).div_ceil(18) * 8;

/// Pixels on a side. The decoder's sums of 16 bits overflow beyond it, and it would leave pixels
/// out.
pub(super) const LONGEST_SIDE: u32 = 65_528;

/// Walks over the markers (ITU-T T.81, annex B) of a file that begins as a JPEG.
///
/// # Errors
///
/// The offset of what the end of the file cuts, in bytes: a segment, or the pixels of a scan.
/// Anything else that is wrong is the decoder's to find.
pub(super) fn check_complete(bytes: &[u8]) -> Result<(), usize> {
    // Behind the marker that every JPEG begins with.
    let mut at = 2;
    loop {
        let start = at;
        while bytes.get(at) == Some(&FILL) {
            at += 1;
        }
        let marker = *bytes.get(at).ok_or(start)?;
        at += 1;
        match marker {
            END_OF_IMAGE => return Ok(()),
            _ if at - start < 2 => return Ok(()),
            // Neither length nor content.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).ok_or(start)?;
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
        if at > bytes.len() {
            return Err(start);
        }
        if marker == START_OF_SCAN {
            at += next_marker(&bytes[at..]).ok_or(start)?;
        }
    }
}

/// Where the pixels of a scan end: at a marker other than those that restart it.
fn next_marker(scan: &[u8]) -> Option<usize> {
    // A byte of pixels that looks like the beginning of a marker is followed by a zero.
    let is_pixels = |next: u8| matches!(next, 0x00 | 0xd0..=0xd7 | FILL);
    scan.windows(2).position(|pair| pair[0] == FILL && !is_pixels(pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment with an end of image in it, a scan with a restart and an escaped byte, a table,
    /// a second scan, fill bytes, the end.
    const TWO_SCANS: [&[u8]; 6] = [
        &[0xff, 0xd8],
        &[0xff, 0xfe, 0, 4, 0xff, 0xd9],
        &[0xff, 0xda, 0, 3, 1, 7, 0xff, 0xd0, 8, 0xff, 0x00, 9],
        &[0xff, 0xc4, 0, 4, 0xff, 0xd9],
        &[0xff, 0xda, 0, 3, 1, 5],
        &[0xff, 0xff, 0xd9],
    ];

    #[test]
    fn a_jpeg_is_whole_at_its_end_and_nowhere_before() {
        let bytes = TWO_SCANS.concat();
        assert_eq!(check_complete(&bytes), Ok(()));
        let trailer = [bytes.as_slice(), &[0xff, 0xda, 0, 9]].concat();
        assert_eq!(check_complete(&trailer), Ok(()));
        let mut starts = Vec::new();
        for cut in 2..bytes.len() {
            starts.push(check_complete(&bytes[..cut]).unwrap_err());
        }
        // Each segment is named until its last byte is there.
        starts.dedup();
        assert_eq!(starts, [2, 8, 20, 26]);
    }

    #[test]
    fn what_is_no_marker_is_left_to_the_decoder() {
        assert_eq!(check_complete(&[0xff, 0xd8, 0x41, 0x42]), Ok(()));
    }
}
