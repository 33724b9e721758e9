//! Files that end early. Decoders of some formats take what there is and fill the rest.

use image::ImageFormat;

use super::jpeg;

/// Refuses what the formats' own structure shows to be cut off; the decoders find the rest.
///
/// # Errors
///
/// Where the file ends and what it lacks, as a clause that follows its name.
pub(super) fn check(format: ImageFormat, bytes: &[u8]) -> Result<(), String> {
    let held = bytes.len();
    match format {
        ImageFormat::Jpeg => jpeg::check_complete(bytes).map_err(|offset| {
            format!(
                "the file ends at byte {held}, within what begins at byte {offset}: get it again"
            )
        }),
        ImageFormat::WebP => {
            // Behind "RIFF": how many bytes follow.
            let announced = field(bytes, 4).map_or(u64::MAX, |length| u64::from(length) + 8);
            if announced > held as u64 {
                return Err(ends_early(held, announced));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn field(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn ends_early(held: usize, announced: u64) -> String {
    format!("the file ends at byte {held} of the {announced} that it announces: get it again")
}
