//! Images with labels in memory, as all readers return them.

use super::{DataError, indices_by_class};

/// Labelled 8-bit images of one size, held in memory.
///
/// The fields are public because training code uploads them as they are; a value made by
/// [`Dataset::new`] satisfies what is said about them here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Data set and split, for people: `"CIFAR-10 train"`.
    pub name: String,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// 1 for grey images, 3 for RGB.
    pub channels: usize,
    /// One name for each class; its length is the number of classes.
    pub class_names: Vec<String>,
    /// Pixels from 0 to 255 in row-major `[N, H, W, C]` order.
    pub images: Vec<u8>,
    /// `[N]` class numbers, each below `class_names.len()`.
    pub labels: Vec<u32>,
}

impl Dataset {
    /// Checks and wraps `images`, `[N, H, W, C]`, and `labels`, `[N]`; `shape` is `[H, W, C]`.
    ///
    /// # Errors
    ///
    /// [`DataError::Shape`] where a dimension is zero or `images` is not `N·H·W·C` bytes long,
    /// [`DataError::LabelOutOfRange`] for a label without a class name, and
    /// [`DataError::EmptyClass`] for a class without examples.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        class_names: Vec<String>,
        images: Vec<u8>,
        labels: Vec<u32>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let [height, width, channels] = shape;
        let image_bytes = height.checked_mul(width).and_then(|area| area.checked_mul(channels));
        let expected = image_bytes.and_then(|bytes| bytes.checked_mul(labels.len()));
        if image_bytes == Some(0) || expected != Some(images.len()) {
            return Err(DataError::Shape {
                data_set: name,
                examples: labels.len(),
                shape,
                found: images.len(),
            });
        }
        let members = indices_by_class(&labels, class_names.len())?;
        if let Some(class) = members.iter().position(Vec::is_empty) {
            let class_name = class_names[class].clone();
            return Err(DataError::EmptyClass { data_set: name, class, class_name });
        }
        Ok(Self { name, height, width, channels, class_names, images, labels })
    }

    /// The number of examples, N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples at all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The bytes of one image, `H·W·C`.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Image `index` as `[H, W, C]` bytes, or `None` from [`len`](Self::len) on.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(self.image_len())?;
        self.images.get(start..start.checked_add(self.image_len())?)
    }

    /// The examples at `indices`, in that order; an index may repeat.
    ///
    /// Class names stay as they are, so a subset may have classes without examples.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`] for an index that is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        let mut images = Vec::with_capacity(indices.len() * self.image_len());
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            let (Some(image), Some(&label)) = (self.image(index), self.labels.get(index)) else {
                return Err(DataError::IndexOutOfRange { index, len: self.len() });
            };
            images.extend_from_slice(image);
            labels.push(label);
        }
        Ok(Self {
            name: self.name.clone(),
            class_names: self.class_names.clone(),
            images,
            labels,
            ..*self
        })
    }
}

/// A data set with its official division into training and test examples. Both parts have the
/// same image shape and the same classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What a model may learn from.
    pub train: Dataset,
    /// What a model is judged on; its labels are never corrupted.
    pub test: Dataset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("class {class}")).collect()
    }

    fn three_images() -> Dataset {
        Dataset::new("three", [1, 2, 1], names(2), vec![1, 2, 3, 4, 5, 6], vec![0, 1, 0]).unwrap()
    }

    #[test]
    fn an_image_is_a_slice_of_the_nhwc_bytes() {
        let data = three_images();
        assert_eq!(data.image(1), Some(&[3, 4][..]));
        assert_eq!(data.image(3), None);
        assert_eq!(data.image(usize::MAX), None);
        assert_eq!((data.len(), data.classes(), data.image_len()), (3, 2, 2));
    }

    #[test]
    fn a_subset_keeps_the_given_order_and_repetitions() {
        let subset = three_images().subset(&[2, 0, 2]).unwrap();
        assert_eq!(subset.images, [5, 6, 1, 2, 5, 6]);
        assert_eq!(subset.labels, [0, 0, 0]);
        assert_eq!(subset.classes(), 2);
    }

    #[test]
    fn a_subset_index_past_the_end_is_an_error_with_both_numbers() {
        let error = three_images().subset(&[0, 3]).unwrap_err();
        assert!(matches!(error, DataError::IndexOutOfRange { index: 3, len: 3 }), "{error}");
    }

    #[test]
    fn images_of_the_wrong_length_are_refused_with_the_expected_and_found_sizes() {
        let error = Dataset::new("odd", [2, 2, 3], names(1), vec![0; 23], vec![0, 0]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("odd") && message.contains("24"), "{message}");
        assert!(message.contains("23"), "{message}");
    }

    #[test]
    fn a_shape_whose_product_overflows_is_refused() {
        let shape = [usize::MAX, 2, 3];
        let error = Dataset::new("huge", shape, names(1), vec![0; 6], vec![0]).unwrap_err();
        assert!(matches!(error, DataError::Shape { .. }), "{error}");
    }

    #[test]
    fn a_shape_with_a_zero_dimension_is_refused() {
        let error = Dataset::new("flat", [0, 2, 3], names(1), vec![], vec![0]).unwrap_err();
        assert!(matches!(error, DataError::Shape { .. }), "{error}");
    }

    #[test]
    fn a_label_without_a_class_name_is_refused_with_its_index() {
        let error = Dataset::new("x", [1, 1, 1], names(2), vec![0; 3], vec![0, 1, 2]).unwrap_err();
        assert!(
            matches!(error, DataError::LabelOutOfRange { index: 2, label: 2, classes: 2 }),
            "{error}"
        );
    }

    #[test]
    fn a_class_without_examples_is_refused_by_name() {
        let error = Dataset::new("gap", [1, 1, 1], names(3), vec![0; 2], vec![0, 2]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("gap") && message.contains("class 1"), "{message}");
    }
}
