//! Pictures that two sets have in common.

use std::collections::HashSet;

use super::Dataset;

/// Which pictures of `audited` are in `trusted` as well, `[N]`: those whose pixels are the same,
/// whatever their labels. None are where the sets have different shapes.
pub fn copies_of(audited: &Dataset, trusted: &Dataset) -> Vec<bool> {
    let shape = |set: &Dataset| (set.height, set.width, set.channels);
    if shape(audited) != shape(trusted) {
        return vec![false; audited.len()];
    }
    let known: HashSet<_> = (0..trusted.len()).filter_map(|index| trusted.image(index)).collect();
    let is_known = |index| audited.image(index).is_some_and(|image| known.contains(&image));
    (0..audited.len()).map(is_known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(shape: [usize; 3], images: &[u8], labels: Vec<u32>) -> Dataset {
        Dataset::new("set", shape, vec!["only".into()], images.to_vec(), labels).unwrap()
    }

    #[test]
    fn the_same_pixels_are_copies_and_one_level_apart_is_none() {
        let audited = set([1, 2, 1], &[1, 2, 3, 4, 1, 2, 2, 1], vec![0; 4]);
        let trusted = set([1, 2, 1], &[9, 9, 1, 2, 3, 5], vec![0; 3]);
        assert_eq!(copies_of(&audited, &trusted), [true, false, true, false]);
    }

    #[test]
    fn pictures_of_another_shape_are_no_copies() {
        let audited = set([1, 2, 1], &[1, 2], vec![0]);
        assert_eq!(copies_of(&audited, &set([2, 1, 1], &[1, 2], vec![0])), [false]);
    }
}
